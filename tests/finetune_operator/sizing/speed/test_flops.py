"""Floating-point operations, against figures that can be worked out by hand."""

from dataclasses import replace

import pytest

from finetune_operator.sizing.setup import Engine, Setup
from finetune_operator.sizing.speed import flops
from tests.finetune_operator.sizing.speed.shapes import LLAMA_2_7B, LLAMA_3_8B, LORA, MIXTURE

LAYERS = 6_979_321_856
"""Weights of Llama 3 8B's matrices: 8,030,261,248 parameters less two of 128,256 x 4,096 and 266,240 of norms."""
HEAD = 128_256 * 4_096


def test_the_matrices_weights_are_those_of_the_model_card() -> None:
    assert LLAMA_3_8B.parameters == 8_030_261_248
    assert flops.active_weights(LLAMA_3_8B) == LAYERS


@pytest.mark.parametrize(
    ("method", "checkpointing", "per_weight"),
    [
        ("full", False, 6),  # forward, gradient of the input, gradient of the weight: Kaplan et al.
        ("full", True, 8),  # and forward once more: Narayanan et al.
        ("lora", False, 4),  # no gradient of frozen weights
        ("lora", True, 6),
        ("qlora", True, 6),
        ("ia3", True, 6),
    ],
)
def test_operations_of_the_layers(method: str, checkpointing: bool, per_weight: int) -> None:
    setup = replace(LORA, method=method, gradient_checkpointing=checkpointing)
    assert flops.training(setup).layers == per_weight * LAYERS * 2048


@pytest.mark.parametrize(
    ("method", "loss", "per_weight"),
    [("lora", "eager", 4), ("lora", "chunked", 6), ("full", "eager", 6), ("full", "chunked", 8), ("full", "liger", 6)],
)
def test_operations_of_the_head(method: str, loss: str, per_weight: int) -> None:
    setup = replace(LORA, method=method, engine=Engine.model_validate({"loss_kernel": loss}))
    assert flops.training(setup).head == per_weight * HEAD * 2048


def test_an_adapter_is_trained_in_full() -> None:
    # rank 16 beside all seven: 41,943,040 weights, as PEFT prints them for this model
    assert flops.training(LORA).adapters == 8 * 41_943_040 * 2048
    assert flops.training(replace(LORA, target_modules=("q_proj",))).adapters == 8 * 16 * 8192 * 32 * 2048


CAUSAL, ALL = 1024, 2048


@pytest.mark.parametrize(
    ("kernel", "packed", "example", "looked_at"),
    [
        ("flash", False, None, CAUSAL),
        ("flash", True, 512, 256),  # examples of 512 tokens see themselves alone
        ("sdpa", False, None, CAUSAL),
        ("sdpa", True, 512, ALL),  # a mask: all scores are computed, most of them for nothing
        ("eager", False, None, ALL),
    ],
)
def test_operations_of_attention(kernel: str, packed: bool, example: int | None, looked_at: int) -> None:
    setup = replace(LORA, kernel=kernel, packed=packed, gradient_checkpointing=False)
    forward = 4 * 4096 * looked_at * 32 * 2048
    passes = 3.0 if kernel == "eager" else 3.5
    assert flops.training(setup, example_tokens=example).attention == pytest.approx(forward * passes)


def test_a_window_bounds_attention() -> None:
    windowed = replace(LLAMA_3_8B, sliding_window=512, sliding_layers=32)
    setup = replace(LORA, architecture=windowed, kernel="flash", packed=False)
    ratio = flops.training(setup).attention / flops.training(replace(setup, architecture=LLAMA_3_8B)).attention
    assert ratio == pytest.approx((512 - 512 * 512 / 4096) / 1024)


def test_of_experts_only_the_active_ones_compute() -> None:
    mlp = sum(linear.matrix * 32 for linear in LLAMA_3_8B.linears if linear.part == "mlp")
    assert flops.active_weights(MIXTURE) == LAYERS + mlp


def test_a_reference_model_adds_a_forward_pass() -> None:
    plain, dpo = flops.training(LORA), flops.training(replace(LORA, objective="dpo"))
    assert dpo.layers - plain.layers == 2 * LAYERS * 2048


def test_it_agrees_with_published_model_flops() -> None:
    """MosaicML counts 3 x (2 N + 4 x layers x width x length) a token without leaving out what causality does."""
    setup = Setup(LLAMA_2_7B, "full", 1, 4096, False, packed=False, engine=Engine(loss_kernel="eager"))
    weights = LLAMA_2_7B.parameters - LLAMA_2_7B.embedding_parameters - LLAMA_2_7B.other_parameters
    theirs = 4096 * (6 * weights + 3 * 4 * 32 * 4096 * 4096 / 2)
    assert flops.training(setup).total == pytest.approx(theirs, rel=0.03)
