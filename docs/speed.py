"""How far predicted times are off, and the guides' costs beside ours: tables of docs/sizing.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from bench import speed
from docs.guides import MODELS
from finetune_api.schema import Method, Sharding
from finetune_operator.sizing.advice import RULES
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import builtin
from finetune_operator.sizing.models.config_json import from_config
from finetune_operator.sizing.setup import Setup
from finetune_operator.sizing.speed import Estimate, cost_usd, estimate

ERRORS = ("measured by", "points", "predicted / published", "median error", "90th percentile")
COSTS = ("run", "rows", "guides", "ours, 500 tokens a row", "1,500 tokens a row", "guides' hours from")
ADVICE = ("code", "said of", "because")
LENGTH = 2048
"""Tokens of a pack: what maxSequenceLength is when it is left out."""


@dataclass(frozen=True, slots=True)
class Guided:
    """A run that guides give a time and a cost for."""

    model: str
    name: str
    method: Method
    accelerator: str
    count: int
    sharding: Sharding
    rows: int
    hours: float
    dollars: float
    price: float
    """USD of one accelerator for an hour, that the guides' figures imply."""

    def expected(self, tokens_per_row: float) -> Estimate:
        """Ours: three epochs, an effective batch of 16, packs of 2,048 tokens, checkpointing, rank 16 on all layers."""
        setup = Setup(
            architecture=from_config(MODELS[self.model]),
            method=self.method,
            micro_batch_size=1,
            sequence_length=LENGTH,
            gradient_checkpointing=True,
            accelerators=self.count,
            sharding=self.sharding,
        )
        found = estimate(
            setup,
            builtin().row(self.accelerator),
            nodes=1,
            data=DataFacts(rows=self.rows, tokens=round(self.rows * tokens_per_row)),
            epochs=3,
            max_steps=None,
            effective_batch_size=16,
        )
        if found is None:
            raise LookupError(f"the hardware table has no speed of {self.accelerator}")
        return found

    def cost(self, tokens_per_row: float) -> float:
        """Of that, at the guides' price."""
        row, seconds = builtin().row(self.accelerator), self.expected(tokens_per_row).seconds
        return cost_usd(seconds, row, accelerators=self.count, price=self.price) or 0.0

    def length(self) -> float | None:
        """Tokens per row with which ours takes as long as the guides say; None: more than a pack holds."""
        low, high = 1.0, float(LENGTH)
        if self.expected(high).seconds < self.hours * 3600:
            return None
        while high - low > 1:
            middle = (low + high) / 2
            low, high = (middle, high) if self.expected(middle).seconds < self.hours * 3600 else (low, middle)
        return low


GUIDED = (
    Guided("Llama 2 7B", "qlora 7B, 1x A10G", "qlora", "A10G", 1, "none", 1_000, 2, 3, 1.5),
    Guided("Llama 2 7B", "lora 7B, 1x A100-80GB", "lora", "A100-80GB", 1, "none", 10_000, 4, 12, 3.0),
    Guided("Llama 2 13B", "full 13B, 4x A100-80GB", "full", "A100-80GB", 4, "fsdp", 50_000, 24, 300, 3.0),
    Guided("Llama 2 70B", "full 70B, 8x A100-80GB", "full", "A100-80GB", 8, "fsdp", 50_000, 120, 3000, 3.0),
)


def costs() -> Iterator[tuple[str, ...]]:
    """The guides' four rows."""
    for run in GUIDED:
        length = run.length()
        yield (
            run.name,
            f"{run.rows:,}",
            f"{run.hours:g} h, ${run.dollars:,.0f}",
            *(f"{run.expected(tokens).seconds / 3600:.1f} h, ${run.cost(tokens):,.2f}" for tokens in (500, 1500)),
            f"{length:,.0f} tokens a row" if length is not None else f"over {LENGTH:,} tokens a row",
        )


def errors() -> Iterator[tuple[str, ...]]:
    """Each source, each method, all, and each source by what the others say of the accelerators."""
    used = speed.points()
    for source in sorted({point.source for point in used}):
        yield _error(source, [point for point in used if point.source == source])
    for method in ("full", "lora", "qlora"):
        yield _error(method, [point for point in used if point.row["method"] == method])
    yield _error("all", used)
    found = speed.by_the_others()
    yield ("each source by the others", str(len(found)), "", *_off(found))


def _error(name: str, points: list[speed.Point]) -> tuple[str, ...]:
    ratio = statistics.median(point.ratio for point in points)
    return (name, str(len(points)), f"{ratio:.2f}", *_off(speed.error(points)))


def _off(errors: list[float]) -> tuple[str, str]:
    return f"{statistics.median(errors):.0%}", f"{speed.percentile_90(errors):.0%}"


def advice() -> Iterator[tuple[str, ...]]:
    """Every rule of advice, the most important first."""
    for rule in RULES:
        yield f"`{rule.code}`", rule.when, rule.reason
