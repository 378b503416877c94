"""The models that a choice is made with: memory, time and money. Passed in: a policy can be tried on plain figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.memory import predict
from finetune_operator.sizing.setup import Setup
from finetune_operator.sizing.speed import cost_usd, estimate


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


class Predict(Protocol):
    """sizing.memory.predict."""

    def __call__(self, setup: Setup, /) -> Prediction: ...


class EstimateTime(Protocol):
    """sizing.speed.estimate."""

    def __call__(
        self,
        setup: Setup,
        hardware: Hardware,
        *,
        nodes: int,
        data: DataFacts,
        epochs: float,
        max_steps: int | None,
        effective_batch_size: int,
        checkpoint_seconds: int,
    ) -> Estimate | None: ...


class CostUSD(Protocol):
    """sizing.speed.cost_usd."""

    def __call__(
        self, seconds: float, hardware: Hardware, *, accelerators: int, spot: bool, price: float | None
    ) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """All three."""

    predict: Predict
    estimate: EstimateTime
    cost_usd: CostUSD


MODELS = Arithmetic(predict, estimate, cost_usd)
"""Ours."""
