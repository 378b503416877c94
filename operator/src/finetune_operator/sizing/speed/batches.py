"""How a data set becomes passes: the sequences that the trainer makes of its rows, as it is known before they are read.

Mirrors finetune_trainer.data.packing: packs are shortened until an optimizer step holds the effective batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.setup import Setup

FULL = 0.97
"""Share of a pack that is tokens: best-fit decreasing leaves little (Ding et al. 2024, arXiv:2404.10830, table 2)."""
SPREAD = 0.6
"""Of the logarithm of the rows' lengths, where their 99th percentile is not known: p99 is 3.4 times the mean."""


@dataclass(frozen=True, slots=True)
class Batches:
    """What an epoch is cut into."""

    passes_per_step: float
    """Forward passes of each accelerator per optimizer step, on average: an epoch's last step may have fewer."""
    sequence_tokens: int
    """Of a sequence as it is computed, padding included."""
    examples_per_step: float
    """Over all accelerators."""
    steps_per_epoch: int


def batches(setup: Setup, *, data: DataFacts, effective_batch_size: int) -> Batches:
    """Of one epoch of `data`. Raises ValueError: its rows or tokens aren't known."""
    mean, rows = mean_tokens(data), data.rows or 0
    unit = setup.accelerators * setup.micro_batch_size
    if not setup.packed:
        per_step = max(unit, effective_batch_size)
        length = padded_tokens(data, micro_batch=setup.micro_batch_size, limit=setup.sequence_length)
        return _cut(sequences=rows, per_step=per_step, unit=unit, tokens=length, examples_per_step=per_step)
    full_packs = max(1.0, rows * mean / (setup.sequence_length * FULL))
    per_step = unit * max(1, math.ceil(effective_batch_size * full_packs / rows / unit - 1e-9))
    packs = min(float(rows), max(full_packs, rows * per_step / effective_batch_size))
    length = min(setup.sequence_length, math.ceil(rows * mean / packs / FULL))
    return _cut(sequences=packs, per_step=per_step, unit=unit, tokens=length, examples_per_step=rows * per_step / packs)


def _cut(*, sequences: float, per_step: int, unit: int, tokens: int, examples_per_step: float) -> Batches:
    steps = math.ceil(sequences / per_step)
    return Batches(
        passes_per_step=max(steps, math.ceil(sequences / unit)) / steps,
        sequence_tokens=tokens,
        examples_per_step=examples_per_step,
        steps_per_epoch=steps,
    )


def mean_tokens(data: DataFacts) -> float:
    """Of a row. Raises ValueError: rows or tokens aren't known."""
    if not data.rows or data.tokens is None:
        raise ValueError("neither rows nor tokens of the data are known")
    return data.tokens / data.rows


def padded_tokens(data: DataFacts, *, micro_batch: int, limit: int) -> int:
    """Mean length of a row that is padded to the longest of its micro-batch. Lengths are taken as log-normal."""
    mean = mean_tokens(data)
    spread = _spread(round(data.p99_tokens / mean, 2)) if data.p99_tokens else SPREAD
    return min(limit, math.ceil(mean * _longest(micro_batch, spread)))


@cache
def _longest(count: int, spread: float) -> float:
    """Expectation of the largest of `count` log-normals whose mean is 1: their quantile function, integrated."""
    normal, points = NormalDist(), 200
    drawn = (normal.inv_cdf(((point + 0.5) / points) ** (1 / count)) for point in range(points))
    return max(1.0, sum(math.exp(spread * z - spread * spread / 2) for z in drawn) / points)


@cache
def _spread(p99_to_mean: float) -> float:
    """Of a log-normal whose 99th percentile is so many times its mean."""
    if p99_to_mean <= 1:
        return 0.0
    high = NormalDist().inv_cdf(0.99)
    # ln(p99 / mean) = high s - s^2 / 2, of which the smaller root is meant; beyond high^2 / 2 there is none
    root = max(0.0, high * high - 2 * math.log(p99_to_mean))
    return high - math.sqrt(root)
