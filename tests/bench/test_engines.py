"""Published rows become the runs that they describe."""

from __future__ import annotations

import pytest

from bench import engines, points
from bench.engines import LeftOut
from bench.points import Point
from finetune_operator.sizing.memory import TERMS, trained

ROWS = {each.id: each for each in points.read()}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (6, {"method": "lora", "rank": 64, "target_modules": ("c_attn", "c_proj", "w1", "w2"), "kernel": "flash"}),
        (12, {"modules_to_save": ("embed_tokens", "lm_head"), "accumulation": 8}),
        (13, {"method": "qlora", "precision": "fp16"}),
        (82, {"method": "lora", "target_modules": ("q_proj", "v_proj"), "gradient_checkpointing": False}),
        (83, {"method": "qlora", "optimizer": "pagedAdamw"}),
        (112, {"method": "full", "optimizer": "pagedAdamw8bit", "packed": True}),
        (127, {"method": "full", "optimizer": "adamw8bit"}),
        (129, {"method": "qlora", "rank": 64, "dropout": 0.0}),
        (1173, {"accelerators": 2, "sharding": "ddp"}),
    ],
)
def test_settings(row: int, expected: dict[str, object]) -> None:
    setup = engines.setup(ROWS[row])
    assert {name: getattr(setup, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (6, {"loss_kernel": "eager", "adapter_precision": "fp32"}),
        (12, {"adapter_precision": "bf16", "optimizer_precision": "bf16", "optimizer_kernel": "foreach-2.0"}),
        (13, {"loss_precision": "half", "quantization": "int4-gptq", "gradient_buckets_gib": engines.ZERO_2_GIB}),
        (84, {"quantization": "nf4-dq", "adapter_precision": "bf16", "quantized_inputs": "kept"}),
        (121, {"loss_kernel": "eager", "compiled": False, "optimizer_in_backward": False, "held_logits": False}),
        (122, {"loss_kernel": "eager", "compiled": True}),
        (124, {"loss_kernel": "chunked", "activation_offload": False, "optimizer_kernel": "fused"}),
        (1078, {"loss_kernel": "eager", "compiled": False, "optimizer_kernel": "foreach", "held_logits": True}),
        (125, {"optimizer_in_backward": True, "activation_offload": False}),
        (126, {"optimizer_in_backward": True, "activation_offload": True}),
        (158, {"loss_kernel": "chunked", "activation_offload": True}),
    ],
)
def test_what_the_engine_does(row: int, expected: dict[str, object]) -> None:
    engine = engines.setup(ROWS[row]).engine
    assert {name: getattr(engine, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("row", "published"),
    [(82, 1_572_864), (87, 2_097_152), (92, 4_194_304), (97, 6_553_600), (1103, 4_194_304), (1157, 17_891_328)],
)
def test_as_many_parameters_are_trained_as_the_source_says(row: int, published: int) -> None:
    """LitGPT's resource table and ms-swift's benchmark print them."""
    assert trained.parameters(engines.setup(ROWS[row])) == published


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (19, "DeepSpeed ZeRO-3"),
        (96, "ran out of memory"),
        (113, "not stated"),
        (205, "not stated"),
        (1021, "the sum over several GPUs"),
    ],
)
def test_left_out(row: int, reason: str) -> None:
    with pytest.raises(LeftOut, match=reason):
        engines.setup(ROWS[row])


def test_every_metric_has_its_rule() -> None:
    assert all(set(terms) <= set(TERMS) for terms in engines.UNSEEN.values())
    assert {each.metric for each in ROWS.values() if _applies(each)} == set(engines.UNSEEN)


def _applies(point: Point) -> bool:
    try:
        engines.setup(point)
    except LeftOut:
        return False
    return True
