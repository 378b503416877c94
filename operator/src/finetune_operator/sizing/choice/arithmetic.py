"""The models that a choice is made with: memory, of GPUs and hosts, and time. Passed in: a policy can be tried on plain
figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from finetune_operator.sizing import host, speed
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.memory import predict
from finetune_operator.sizing.setup import Setup


class Prediction(Protocol):
    """Memory of one accelerator, in bytes."""

    @property
    def total(self) -> int:
        """Expected peak."""

    @property
    def required(self) -> int:
        """With the safety margin."""

    @property
    def terms(self) -> Mapping[str, int]:
        """The expected peak by what takes it."""


class Estimate(Protocol):
    """Time of the whole run."""

    @property
    def seconds(self) -> float:
        """From loading to export."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """All of them."""

    predict: Callable[[Setup], Prediction]
    estimate: Callable[[Request, Setup, Hardware, int, DataFacts], Estimate | None]
    """Of the request's run over this data, on so many nodes; None: it is not known."""
    host_memory: Callable[[Setup, int], int]
    """Bytes that the pod requests on each of so many nodes."""


def estimate(request: Request, setup: Setup, hardware: Hardware, nodes: int, data: DataFacts) -> Estimate | None:
    """`speed.estimate` of what is asked for."""
    return speed.estimate(
        setup,
        hardware,
        nodes=nodes,
        data=data,
        epochs=request.epochs,
        max_steps=request.training.max_steps,
        effective_batch_size=request.effective_batch_size,
        checkpoint_seconds=request.checkpoint_seconds,
    )


def host_memory(setup: Setup, nodes: int) -> int:
    """Bytes that the pod requests on each node: whole GiB, as status has it."""
    return math.ceil(host.memory_bytes(setup, nodes=nodes) / host.GIB) * host.GIB


MODELS = Arithmetic(predict, estimate, host_memory)
"""Ours."""
