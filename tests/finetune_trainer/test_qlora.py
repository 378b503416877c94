"""QLoRA's gradients after an evaluation are those of the same model with its weights dequantised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from finetune_api.contract import TrainerConfig
from finetune_trainer import methods, model
from finetune_trainer.settings import Device, settings

pytestmark = pytest.mark.train
CPU = Device(kind="cpu", name="a CPU")


def load(job: dict[str, Any], path: Path) -> Any:
    job["method"] = "qlora"
    job["adapter"]["dropout"] = 0.0
    config = TrainerConfig.model_validate(job)
    architecture = model.load_config(path, trust_remote_code=False)
    torch.manual_seed(0)
    tuned = methods.trainable(model.load_model(path, architecture, config, settings(config, CPU), CPU), config)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.02)  # zero at first, which would leave lora_A without a gradient
    return tuned


def dequantised(tuned: Any) -> None:
    """Put ordinary layers with the same weights in place of the 4-bit ones."""
    import bitsandbytes as bnb

    for name, module in list(tuned.named_modules()):
        if isinstance(module, bnb.nn.Linear4bit):
            weight = bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state).to(torch.bfloat16)
            plain = nn.Linear(module.in_features, module.out_features, bias=False, dtype=torch.bfloat16)
            plain.weight = nn.Parameter(weight, requires_grad=False)
            parent, _, last = name.rpartition(".")
            setattr(tuned.get_submodule(parent), last, plain)


def gradients(tuned: Any, ids: torch.Tensor) -> torch.Tensor:
    tuned.train()
    tuned.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tuned(input_ids=ids, labels=ids).loss.backward()
    return torch.cat([p.grad.flatten().float() for p in tuned.parameters() if p.grad is not None])


def evaluate(tuned: Any, ids: torch.Tensor) -> None:
    tuned.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        tuned(input_ids=ids)


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(3, 300, (2, 48), generator=torch.Generator().manual_seed(1))


def test_gradients_after_an_evaluation(job: dict[str, Any], tiny_model: Path, ids: torch.Tensor) -> None:
    reference = load(job, tiny_model)
    dequantised(reference)
    expected = gradients(reference, ids)

    tuned = load(job, tiny_model)
    evaluate(tuned, ids)
    found = gradients(tuned, ids)

    assert found.shape == expected.shape
    assert torch.cosine_similarity(found, expected, dim=0) > 0.999


def test_every_4_bit_layer_keeps_its_layout(job: dict[str, Any], tiny_model: Path) -> None:
    import bitsandbytes as bnb

    tuned = load(job, tiny_model)
    layers = [module for module in tuned.modules() if isinstance(module, bnb.nn.Linear4bit)]
    assert len(layers) == 14  # 7 projections in each of 2 layers
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)
    assert {layer.weight.quant_state.quant_type for layer in layers} == {"nf4"}
    assert all(layer.weight.quant_state.nested for layer in layers)
    assert {layer.compute_dtype for layer in layers} == {torch.bfloat16}


def test_the_guard_is_needed_where_the_cpu_repacks(job: dict[str, Any], tiny_model: Path, ids: torch.Tensor) -> None:
    """Without it this fails on CPUs with AVX512-BF16; when it no longer does, the guard can go."""
    import bitsandbytes as bnb
    from bitsandbytes.functional import has_avx512bf16

    if not has_avx512bf16():
        pytest.skip("this CPU has no AVX512-BF16, on which bitsandbytes repacks")
    reference = load(job, tiny_model)
    dequantised(reference)
    expected = gradients(reference, ids)
    unguarded = load(job, tiny_model)
    for module in unguarded.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = True
    evaluate(unguarded, ids)
    assert torch.cosine_similarity(gradients(unguarded, ids), expected, dim=0) < 0.9


def test_products_are_in_half_precision_behind_a_norm_in_fp32(job: dict[str, Any], tiny_model: Path) -> None:
    import bitsandbytes as bnb

    layers = [each for each in load(job, tiny_model).modules() if isinstance(each, bnb.nn.Linear4bit)]
    for layer in layers:
        layer(torch.zeros(1, layer.in_features, dtype=torch.float32))

    assert layers
    assert {layer.compute_dtype for layer in layers} == {torch.bfloat16}
