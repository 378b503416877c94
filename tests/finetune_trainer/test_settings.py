"""What a configuration leads to on a GPU, without one: this is where the product lives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from finetune_api.contract import TrainerConfig
from finetune_trainer.failure import Failure
from finetune_trainer.settings import Batching, Device, Sharded, batching, settings

GIB = 1 << 30
A100 = Device("cuda", "NVIDIA A100", (8, 0), 80 * GIB, flash_attention_2=True)
H100 = Device("cuda", "NVIDIA H100", (9, 0), 80 * GIB, flash_attention_2=True, flash_attention_3=True)
L4 = Device("cuda", "NVIDIA L4", (8, 9), 22 * GIB)
T4 = Device("cuda", "Tesla T4", (7, 5), 15 * GIB, flash_attention_2=True)
CPU = Device("cpu", "a CPU")


def on(job: dict[str, Any], device: Device, method: str = "lora", **training: Any) -> Any:
    processes = 1 if training.get("sharding", "none") == "none" else 4
    content = job | {"method": method, "processes": processes, "training": job["training"] | training}
    return settings(TrainerConfig.model_validate(content), device)


@pytest.mark.parametrize(
    ("device", "method", "weights", "trainable", "autocast", "tf32", "attention", "varlen"),
    [
        (A100, "lora", "bfloat16", "float32", "bfloat16", True, "flash_attention_2", True),
        (A100, "qlora", "bfloat16", "float32", "bfloat16", True, "flash_attention_2", True),
        (A100, "full", "bfloat16", "bfloat16", "bfloat16", True, "flash_attention_2", True),
        (H100, "lora", "bfloat16", "float32", "bfloat16", True, "flash_attention_2", True),
        (L4, "lora", "bfloat16", "float32", "bfloat16", True, "sdpa", False),
        # no bfloat16, no flash attention; what is trained must be fp32, or its gradients can't be unscaled
        (T4, "lora", "float16", "float32", "float16", False, "sdpa", False),
        (T4, "qlora", "float16", "float32", "float16", False, "sdpa", False),
        (T4, "full", "float32", "float32", "float16", False, "sdpa", False),
        (CPU, "lora", "float32", "float32", None, False, "sdpa", False),
        (CPU, "full", "float32", "float32", None, False, "sdpa", False),
        (CPU, "qlora", "bfloat16", "float32", "bfloat16", False, "sdpa", False),
    ],
)
def test_defaults(
    job: dict[str, Any],
    device: Device,
    method: str,
    weights: str,
    trainable: str,
    autocast: str | None,
    tf32: bool,
    attention: str,
    varlen: bool,
) -> None:
    found = on(job, device, method)
    assert (found.weights, found.trainable, found.autocast) == (weights, trainable, autocast)
    assert (found.tf32, found.attention, found.varlen) == (tf32, attention, varlen)
    assert found.pin_memory == (device.kind == "cuda")


@pytest.mark.parametrize(
    ("device", "asked", "optimizer"),
    [
        (A100, "adamw", "adamw_torch_fused"),
        (A100, "adamw8bit", "adamw_bnb_8bit"),
        (A100, "pagedAdamw", "paged_adamw_32bit"),
        (A100, "pagedAdamw8bit", "paged_adamw_8bit"),
        (CPU, "adamw", "adamw_torch"),
        (CPU, "adamw8bit", "adamw_bnb_8bit"),
        (CPU, "pagedAdamw", "adamw_torch"),
        (CPU, "pagedAdamw8bit", "adamw_bnb_8bit"),
    ],
)
def test_optimizers(job: dict[str, Any], device: Device, asked: str, optimizer: str) -> None:
    assert on(job, device, optimizer=asked).optimizer == optimizer


@pytest.mark.parametrize(
    ("device", "method", "optimizer"),
    [
        (A100, "full", "stochastic_adamw"),  # trained in bfloat16: nothing may be lost in rounding
        (A100, "qlora", "adamw_torch_fused"),
        (A100, "lora", "adamw_torch_fused"),
        (T4, "full", "adamw_torch_fused"),
        (CPU, "qlora", "adamw_torch"),
        (CPU, "full", "adamw_torch"),
    ],
)
def test_adamw_by_method(job: dict[str, Any], device: Device, method: str, optimizer: str) -> None:
    assert on(job, device, method).optimizer == optimizer


@pytest.mark.parametrize(
    ("device", "training", "sentence"),
    [
        (T4, {"precision": "bf16"}, "has no bfloat16"),
        (CPU, {"precision": "fp16"}, "needs a GPU"),
        (L4, {"attention": "flashAttention2"}, "needs flash-attn"),
        (T4, {"attention": "flashAttention2"}, "compute capability 8.0"),
        (A100, {"attention": "flashAttention3"}, "a Hopper GPU"),
        (A100, {"attention": "flashAttention2", "precision": "fp32"}, "half precision"),
        (CPU, {"attention": "flex"}, "needs a GPU"),
        (CPU, {"lossKernel": "liger"}, "lossKernel: liger needs a GPU"),
        (A100, {"lossKernel": "liger"}, "the package liger-kernel, which this image does not have"),
        (A100, {"sharding": "fsdp", "optimizer": "adamw8bit"}, "adamw8bit is bitsandbytes', which can't update"),
        (A100, {"sharding": "fsdp", "optimizer": "pagedAdamw"}, "use adamw, or training.sharding: ddp"),
    ],
)
def test_refused(job: dict[str, Any], device: Device, training: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Failure, match=sentence):
        on(job, device, **training)


@pytest.mark.parametrize(
    ("device", "method", "weights", "trainable", "autocast", "optimizer", "sharded"),
    [
        # Gathered weights are in the type of the arithmetic: autocast has nothing left to cast, and accelerate would
        # turn what is trained into fp32 under it.
        (A100, "full", "bfloat16", "bfloat16", None, "stochastic_adamw", Sharded("bfloat16", "float32", None)),
        (A100, "lora", "bfloat16", "float32", None, "adamw_torch_fused", Sharded("bfloat16", "float32", None)),
        # 4-bit weights are sharded as what they are stored as, which must be one type for all
        (A100, "qlora", "bfloat16", "float32", None, "adamw_torch_fused", Sharded("bfloat16", "float32", "bfloat16")),
        # fp16 needs the scaler, which comes with autocast
        (T4, "lora", "float16", "float32", "float16", "adamw_torch_fused", Sharded("float16", "float32", None)),
        (T4, "full", "float32", "float32", "float16", "adamw_torch_fused", Sharded("float16", "float32", None)),
        (T4, "qlora", "float16", "float32", "float16", "adamw_torch_fused", Sharded("float16", "float32", "float16")),
    ],
)
def test_sharded(
    job: dict[str, Any],
    device: Device,
    method: str,
    weights: str,
    trainable: str,
    autocast: str | None,
    optimizer: str,
    sharded: Sharded,
) -> None:
    found = on(job, device, method, sharding="fsdp")
    assert (found.weights, found.trainable, found.autocast) == (weights, trainable, autocast)
    assert (found.optimizer, found.sharded) == (optimizer, sharded)
    whole = on(job, device, method, sharding="ddp")
    assert whole.sharded is None
    assert whole == on(job, device, method), "whole copies are set up as one is"


@pytest.mark.parametrize(
    ("asked", "device", "kernel"),
    [
        (None, A100, "chunked"),
        ("chunked", CPU, "chunked"),
        ("eager", CPU, "eager"),
        ("liger", replace(A100, liger=True), "liger"),
    ],
)
def test_loss_kernels(job: dict[str, Any], asked: str | None, device: Device, kernel: str) -> None:
    assert on(job, device, lossKernel=asked).loss_kernel == kernel


@pytest.mark.parametrize(("processes", "sharding"), [(1, "ddp"), (1, "fsdp"), (2, "none")])
def test_processes_that_do_not_go_with_the_sharding(job: dict[str, Any], processes: int, sharding: str) -> None:
    content = job | {"processes": processes, "training": job["training"] | {"sharding": sharding}}
    with pytest.raises(ValidationError, match=f"training.sharding: {sharding} means"):
        TrainerConfig.model_validate(content)


@pytest.mark.parametrize(
    ("per_step", "micro", "processes", "one_by_one", "expected"),
    [
        (16, 4, 1, False, Batching(4, 4)),
        (16, 4, 2, False, Batching(4, 2)),
        (16, 32, 1, False, Batching(16, 1)),
        (6, 4, 1, False, Batching(3, 2)),  # 4 would not divide, and the batch is never changed
        (7, 4, 1, False, Batching(1, 7)),
        (4, 4, 1, True, Batching(1, 4)),
        (4, 4, 4, True, Batching(1, 1)),
    ],
)
def test_batching(per_step: int, micro: int, processes: int, one_by_one: bool, expected: Batching) -> None:
    found = batching(per_step=per_step, micro_batch_size=micro, processes=processes, one_by_one=one_by_one)
    assert found == expected
    assert found.micro_batch_size * found.accumulation * processes == per_step


def test_a_batch_that_cannot_be_shared() -> None:
    with pytest.raises(Failure, match="effectiveBatchSize: 10 sequences"):
        batching(per_step=10, micro_batch_size=1, processes=4, one_by_one=False)
