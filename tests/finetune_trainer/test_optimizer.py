"""AdamW in bfloat16 that loses no update."""

from __future__ import annotations

import copy

import pytest
import torch

from finetune_trainer.optimizer import StochasticAdamW

SETTINGS = {"lr": 1e-2, "weight_decay": 0.1}


def steps(optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter, count: int, *, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        optimizer.step()


def test_in_fp32_it_is_adamw() -> None:
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 64).reshape(8, 8)) for _ in range(2))
    steps(StochasticAdamW([ours], **SETTINGS), ours, 20)
    steps(torch.optim.AdamW([theirs], **SETTINGS), theirs, 20)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_updates_below_the_last_bit_add_up() -> None:
    """500 steps of 2e-5 on weights of 1, whose neighbours in bfloat16 are 4e-3 below."""
    drift = {}
    for kind in (torch.optim.AdamW, StochasticAdamW):
        weights = torch.nn.Parameter(torch.ones(4096, dtype=torch.bfloat16))
        optimizer = kind([weights], lr=2e-5, weight_decay=0.0)
        for _ in range(500):
            weights.grad = torch.ones_like(weights)
            optimizer.step()
        drift[kind] = float(1 - weights.detach().float().mean())
    assert drift[torch.optim.AdamW] == 0.0
    assert drift[StochasticAdamW] == pytest.approx(500 * 2e-5, rel=0.05)


def test_a_resume_rounds_alike_and_keeps_fp32_moments() -> None:
    weights = torch.nn.Parameter(torch.linspace(-1, 1, 64, dtype=torch.bfloat16))
    optimizer = StochasticAdamW([weights], **SETTINGS)
    steps(optimizer, weights, 5)
    saved = copy.deepcopy(optimizer.state_dict())
    resumed = torch.nn.Parameter(weights.detach().clone())
    other = StochasticAdamW([resumed], **SETTINGS)
    other.load_state_dict(saved)
    assert {value.dtype for value in other.state[resumed].values() if torch.is_tensor(value)} == {torch.float32}
    for each, parameter in ((optimizer, weights), (other, resumed)):
        steps(each, parameter, 5, seed=2)
    assert torch.equal(weights, resumed)


@pytest.mark.parametrize(("device", "copied"), [("cpu", True), ("meta", False)])
def test_moments_that_are_on_the_device_are_not_there_twice(device: str, copied: bool) -> None:
    """Under ddp transformers reads a checkpoint's moments to the GPU. `meta` stands for it."""
    weights = torch.nn.Parameter(torch.zeros(4, dtype=torch.bfloat16, device=device))
    read = {name: torch.ones(4, device=device) for name in ("exp_avg", "exp_avg_sq")}
    optimizer = StochasticAdamW([weights], **SETTINGS)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": {0: {"step": 3, **read}}})
    assert optimizer.state[weights]["step"] == 3
    for name, value in read.items():
        assert optimizer.state[weights][name].dtype == torch.float32
        assert (optimizer.state[weights][name] is not value) == copied
