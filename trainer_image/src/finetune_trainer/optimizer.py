"""AdamW for weights that are kept in bfloat16: moments in fp32, and weights rounded at random.

A bfloat16 has 8 significant bits. Rounded to the nearest, an update below 1/512 of a weight is lost, and at the
learning rates of fine-tuning most of them are: full fine-tuning of a small model at 2e-5 lowered its loss by 0.3
where fp32 lowered it by 2.6. Moments in bfloat16 freeze likewise, since 0.999 of a number is that number. Rounding up
or down with a chance that makes the mean right (Zamirai et al. 2020, arXiv:2010.06192) keeps the updates at no
memory; moments in fp32 cost 4 bytes a parameter more than in bfloat16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

_CHUNK = 1 << 24
"""Elements that are updated at a time: fp32 copies of a whole embedding would take gigabytes."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


class StochasticAdamW(Optimizer):
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101).

    What is drawn depends on `seed`, the step, the parameter and, of one that is sharded, the part of it: ranks with
    copies round alike, those with parts each by themselves, and a resume as it would have gone on.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self._seed = seed

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = closure() if closure is not None else None
        number = 0
        for group in self.param_groups:
            for parameter in group["params"]:
                number += 1
                if parameter.grad is not None:
                    self._update(parameter, group, number)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As the parent does, but moments stay fp32: it would cast them to the type of the weights.

        Those that are read from a mapped file are copied out of it; those that are on a GPU already, as under ddp, are
        taken as they are: a second time they might not fit there.
        """
        without = {
            number: {name: value for name, value in state.items() if name not in _MOMENTS}
            for number, state in state_dict["state"].items()
        }
        super().load_state_dict({**state_dict, "state": without})
        saved = [number for group in state_dict["param_groups"] for number in group["params"]]
        ours = [parameter for group in self.param_groups for parameter in group["params"]]
        for number, parameter in zip(saved, ours, strict=True):
            for moment in _MOMENTS:
                if number in state_dict["state"]:
                    value = state_dict["state"][number][moment]
                    copied = value.device.type == "cpu"
                    self.state[parameter][moment] = value.to(parameter.device, torch.float32, copy=copied)

    def _update(self, parameter: torch.Tensor, group: dict[str, Any], number: int) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            for moment in _MOMENTS:
                state[moment] = torch.zeros_like(parameter, dtype=torch.float32, memory_format=torch.contiguous_format)
        state["step"] += 1
        generator = torch.Generator(parameter.device)
        generator.manual_seed(hash((self._seed, int(state["step"]), number, *_part(parameter))) % (1 << 63))
        weights, first, second = (_here(tensor).view(-1) for tensor in (parameter.data, *map(state.get, _MOMENTS)))
        gradient = _here(parameter.grad).reshape(-1)
        for start in range(0, weights.numel(), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            exact = _stepped(weights[chunk], gradient[chunk], first[chunk], second[chunk], int(state["step"]), group)
            if weights.dtype == torch.bfloat16:
                _round_at_random(exact, generator)
            weights[chunk].copy_(exact)


def _part(parameter: torch.Tensor) -> tuple[int, ...]:
    """Which part of a sharded parameter this process has; nothing for a whole one."""
    return (parameter.device_mesh.get_local_rank(),) if isinstance(parameter, DTensor) else ()


def _here(tensor: Any) -> torch.Tensor:
    """The part that this process has, in the memory of the whole: arithmetic by element needs no other."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _stepped(
    weights: torch.Tensor,
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    step: int,
    group: dict[str, Any],
) -> torch.Tensor:
    """The new weights in fp32; the moments are updated in place."""
    (beta1, beta2), rate = group["betas"], float(group["lr"])
    exact = weights.to(torch.float32, copy=True)
    gradient = gradient.to(torch.float32)
    exact.mul_(1 - rate * group["weight_decay"])
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    scale = second.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
    return exact.addcdiv_(first, scale, value=-rate / (1 - beta1**step))


def _round_at_random(exact: torch.Tensor, generator: torch.Generator) -> None:
    """Leave fp32 numbers that bfloat16 can hold, in place: noise below its last bit, then cut there."""
    bits = exact.view(torch.int32)
    noise = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32, device=bits.device, generator=generator)
    bits.add_(noise).bitwise_and_(-(1 << 16))
