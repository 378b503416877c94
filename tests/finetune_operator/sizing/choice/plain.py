"""A table of a few kinds and models of memory and time that a person can work out in the head.

Memory of one accelerator in GiB: weights 16 (qlora 6), under full training 16 of gradients and 64 of optimizer states
(16 in 8 bits, 0 paged), and for each sequence of the micro-batch 4, or 1 with checkpointing; fsdp divides all but the
last by the number of accelerators. Time: an hour for a million tokens on 100 TFLOP/s, a third more with checkpointing,
a tenth more on several accelerators and two on sharded ones, a fifth more for a micro-batch of one. Host memory in GiB:
4 for each accelerator, and 16 for full training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from finetune_api.spec.resources import ResourcesSpec
from finetune_api.spec.training import TrainingSpec
from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.choice.arithmetic import Arithmetic
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import Hardware, Interconnect, Price, Table
from finetune_operator.sizing.setup import Setup

GIB = 2**30
PCIE = Interconnect(kind="pcie", gbs=32)


def row(name: str, memory: float, tflops: float, price: float | None, **more: Any) -> Hardware:
    """A kind of accelerator. Its product is called as it is."""
    return Hardware(
        name=name,
        resource=more.pop("resource", "nvidia.com/gpu"),
        products=(name,),
        memory_gib=memory,
        bf16=more.pop("bf16", True),
        tflops=tflops,
        bandwidth_gbs=1000,
        interconnect=more.pop("interconnect", PCIE),
        per_node=8,
        price=None if price is None else Price(on_demand=price, spot=price / 4, date=date(2025, 1, 1)),
        **more,
    )


SMALL = row("Small", 10, 50, 0.25, bf16=False)
MEDIUM = row("Medium", 24, 100, 1)
LARGE = row("Large", 80, 300, 4)
SWIFT = row("Swift", 80, 450, 6.2)
UNPRICED = row("Unpriced", 48, 100, None)
SLICE = row("Slice", 20, 40, 0.25, interconnect=Interconnect(kind="none"), resource="nvidia.com/mig-2g.20gb")
FOREIGN = row("Foreign", 192, 1000, 2, resource="amd.com/gpu")
TINY = row("Tiny", 1, 10, 0.1, interconnect=Interconnect(kind="none"))
TABLE = Table(
    (
        SMALL,
        MEDIUM,
        LARGE,
        SWIFT,
        UNPRICED,
        SLICE,
        FOREIGN,
        TINY,
        Hardware(name="nvidia-gpu", resource="nvidia.com/gpu", per_node=8),
        Hardware(name="cpu", bf16=False),
    )
)
MILLION = DataFacts(rows=2000, tokens=1_000_000)
"""Of tokens, three times over."""

ARCHITECTURE = Architecture(
    model_type="llama",
    hidden_size=4096,
    layers=32,
    vocabulary_size=32000,
    attention_heads=32,
    key_value_heads=32,
    head_dim=128,
    intermediate_size=11008,
    linears=(),
    tied_embeddings=False,
    other_parameters=7_740_000_000,
    max_positions=4096,
)
"""Of 8.0 billion parameters."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A prediction without a margin."""

    terms: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.terms.values())

    @property
    def required(self) -> int:
        return self.total


@dataclass(frozen=True, slots=True)
class Time:
    seconds: float


def predict(setup: Setup) -> Memory:
    full = setup.method == "full"
    states = 0 if setup.optimizer.startswith("paged") else 16 if "8bit" in setup.optimizer else 64
    of_model = {
        "weights": 6 if setup.method == "qlora" else 16,
        "gradients": 16 if full else 0,
        "optimizer": states if full else 0,
    }
    share = setup.accelerators if setup.sharding == "fsdp" else 1
    length = setup.sequence_length / 2048
    each = (1 if setup.gradient_checkpointing else 4) * length
    terms = {name: round(size * GIB / share) for name, size in of_model.items()}
    return Memory({**terms, "activations": round(each * setup.micro_batch_size * GIB)})


def estimate(request: Request, setup: Setup, hardware: Hardware, nodes: int, data: DataFacts) -> Time | None:
    if data.tokens is None or hardware.tflops is None:
        return None
    hours = data.tokens / 1e6 * request.epochs * 100 / hardware.tflops / setup.accelerators
    hours *= 4 / 3 if setup.gradient_checkpointing else 1
    hours *= {"none": 1.0, "ddp": 1.1, "fsdp": 1.2}[setup.sharding]
    hours *= 1 + 0.2 / setup.micro_batch_size
    return Time(hours * 3600)


def host_memory(setup: Setup, nodes: int) -> int:
    return (4 * setup.accelerators // nodes + (16 if setup.method == "full" else 0)) * GIB


PLAIN = Arithmetic(predict, estimate, host_memory)


def request(
    method: Any = "lora",
    *,
    training: dict[str, Any] | None = None,
    resources: dict[str, Any] | None = None,
    data: DataFacts = MILLION,
    **more: Any,
) -> Request:
    """A job as its spec has it, in wire form. Examples are not packed unless it says so."""
    return Request(
        method=method,
        architecture=ARCHITECTURE,
        training=TrainingSpec.model_validate({"packing": False, **(training or {})}),
        resources=ResourcesSpec.model_validate(resources or {}),
        data=data,
        **more,
    )
