"""What the pod has beside its accelerators, as a table to be read, and what holds whatever is sized."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.status import Host
from finetune_operator.sizing import host
from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.memory import predict
from finetune_operator.sizing.models.catalogue import lookup
from finetune_operator.sizing.quantity import at_least
from finetune_operator.sizing.setup import Setup


def shape(name: str) -> Architecture:
    found = lookup(f"hf://{name}")
    assert found is not None
    return found


SMALL, MIDDLE, LARGE = shape("Qwen/Qwen2.5-0.5B"), shape("meta-llama/Llama-3.1-8B"), shape("meta-llama/Llama-3.1-70B")
EXPERTS = shape("Qwen/Qwen3-30B-A3B")


def setup(architecture: Architecture, method: Any, accelerators: int = 1, sharding: Any = "none", **more: Any) -> Setup:
    return Setup(
        architecture=architecture,
        method=method,
        micro_batch_size=1,
        sequence_length=2048,
        gradient_checkpointing=True,
        accelerators=accelerators,
        sharding=sharding,
        **more,
    )


@pytest.mark.parametrize(
    ("run", "memory", "shared", "storage", "grace"),
    [
        # Weights are mapped on their way to the GPU; the disk holds 3 checkpoints of 10 bytes a parameter.
        (setup(SMALL, "full"), 5, 0, 20, 80),
        (setup(MIDDLE, "full"), 6, 0, 285, 834),
        # Sharded weights are put together for the export: 16 GB of them.
        (setup(MIDDLE, "full", 8, "fsdp"), 40, 1, 285, 834),
        (setup(MIDDLE, "lora"), 4, 0, 21, 36),
        (setup(MIDDLE, "qlora", 8, "ddp"), 22, 1, 21, 36),
        # Paged moments may all be in host memory.
        (setup(MIDDLE, "full", optimizer="pagedAdamw"), 78, 0, 285, 834),
        (setup(LARGE, "qlora"), 5, 0, 157, 55),
        # No node waits for longer than an hour.
        (setup(LARGE, "full", 8, "fsdp"), 179, 1, 2485, 3600),
        # What is trained in fp16 is turned into fp32 by every process before it is sharded.
        (setup(SMALL, "full", 4, "fsdp", precision="fp16"), 21, 1, 24, 90),
        # So is what isn't trained, into fp16.
        (setup(MIDDLE, "lora", 2, "fsdp"), 7, 1, 21, 36),
        (setup(MIDDLE, "lora", 2, "fsdp", precision="fp16"), 43, 1, 21, 36),
        # Experts are put together by every process: 58 GB of them, twice.
        (setup(EXPERTS, "lora", 2, "ddp"), 8, 1, 107, 150),
        (setup(EXPERTS, "lora", 2, "fsdp"), 136, 1, 107, 150),
    ],
)
def test_table(run: Setup, memory: int, shared: int, storage: int, grace: int) -> None:
    found = host.in_gib(host.needs(run, keep=2, downloaded_bytes=host.model_bytes(run.architecture)))
    assert found == Host(memory_gib=memory, shared_memory_gib=shared, storage_gib=storage, grace_seconds=grace)


def test_on_a_cpu_it_is_the_memory_of_the_process() -> None:
    run = setup(SMALL, "lora", device="cpu", precision="fp32")
    found = host.needs(run, keep=2)
    assert found.memory_bytes == math.ceil((predict(run).total + host.POD) * host.SPARE)


@given(
    method=st.sampled_from(["full", "lora", "qlora"]),
    accelerators=st.sampled_from([1, 2, 4, 8]),
    rank=st.integers(1, 256),
    keep=st.integers(1, 10),
    architecture=st.sampled_from([SMALL, MIDDLE, LARGE]),
)
def test_more_never_needs_less(
    method: Any, accelerators: int, rank: int, keep: int, architecture: Architecture
) -> None:
    run = setup(architecture, method, accelerators, "ddp" if accelerators > 1 else "none", rank=rank)
    found = host.needs(run, keep=keep)
    more = (
        host.needs(run, keep=keep + 1),
        host.needs(run, keep=keep, downloaded_bytes=1),
        host.needs(dataclasses.replace(run, rank=rank + 1), keep=keep),
        host.needs(dataclasses.replace(run, accelerators=accelerators + 1, sharding="ddp"), keep=keep),
    )
    for each in more:
        for name in ("memory_bytes", "shared_memory_bytes", "grace_seconds", "storage_bytes"):
            assert getattr(each, name) >= getattr(found, name)
    assert found.storage_bytes * host.DISK_USED >= (keep + 1) * host.checkpoint_bytes(run)


@pytest.mark.parametrize(
    ("quantity", "gib", "larger"),
    [
        ("4Gi", None, "4Gi"),
        ("4Gi", 3, "4Gi"),
        ("4Gi", 4, "4Gi"),
        ("4Gi", 5, "5Gi"),
        ("4G", 4, "4Gi"),
        ("512Mi", 1, "1Gi"),
        ("1Ti", 1000, "1Ti"),
    ],
)
def test_the_larger_of_a_setting_and_a_need(quantity: str, gib: int | None, larger: str) -> None:
    assert at_least(quantity, gib) == larger
