"""bench/memory_points.csv: published figures of GPU memory in fine-tuning, one a row, as they were published.

`kind` is measured (peak memory), fits (the longest sequence that ran on a card of that size), claimed_min (a vendor's
minimum) or estimate (somebody's own). Empty cells: not stated. The memory model was developed with the rows below
HELD_OUT_FROM in view; those from there on were read from their sources afterwards, and judge it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "memory_points.csv"
HELD_OUT_FROM = 1000
_UNITS = {"GB": 10**9, "GiB": 2**30}


class PointError(ValueError):
    """A row of the file cannot be read."""


@dataclass(frozen=True, slots=True)
class Point:
    """One row."""

    id: int
    kind: str
    source: str
    model: str
    method: str
    quant: str
    rank: int | None
    targets: str
    optimizer: str
    precision: str
    sequence: str
    """Tokens, or in words what was not stated as a number."""
    micro_batch: str
    checkpointing: bool | None
    attention: str
    loss: str
    accelerators: int
    sharding: str
    accelerator: str
    value: str
    unit: str
    metric: str
    notes: str
    shape: Shape | None
    """None where the row says the model's class only."""

    @property
    def measured_bytes(self) -> int | None:
        """What was measured; None where it ran out of memory, or is not a number."""
        try:
            return round(float(self.value) * _UNITS[self.unit])
        except ValueError:
            return None

    @property
    def held_out(self) -> bool:
        """It was not looked at while the model was made."""
        return self.id >= HELD_OUT_FROM

    @property
    def text(self) -> str:
        """What it is, in one line."""
        batch = f"{self.micro_batch} x {self.sequence}"
        kind = f"{self.method}{f' {self.quant}' if self.quant else ''}"
        return f"{self.model} {kind} {batch} {'' if self.checkpointing else 'no '}checkpointing"


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the model, as the row gives it."""

    parameters: int
    hidden_size: int
    layers: int
    intermediate_size: int
    heads: int
    key_value_heads: int
    head_dim: int
    vocabulary: int
    tied: bool


def read(path: Path = FILE) -> list[Point]:
    """All rows. PointError names the row and the column that cannot be read."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(_points(csv.DictReader(file), path.name))


def _points(rows: csv.DictReader[str], name: str) -> Iterator[Point]:
    seen: set[int] = set()
    for line, row in enumerate(rows, start=2):
        try:
            point = _point(row)
        except (KeyError, ValueError, TypeError) as error:
            raise PointError(f"{name}, line {line}: {error!r}") from error
        if point.id in seen:
            raise PointError(f"{name}, line {line}: the id {point.id} is there twice")
        seen.add(point.id)
        yield point


def _point(row: dict[str, str]) -> Point:
    if row["unit"] not in _UNITS:
        raise ValueError(f"unit is {row['unit']!r}; it must be GB or GiB")
    return Point(
        id=int(row["id"]),
        kind=row["kind"],
        source=row["source"],
        model=row["model"],
        method=row["method"],
        quant=row["quant"],
        rank=int(row["lora_r"]) if row["lora_r"] else None,
        targets=row["targets"],
        optimizer=row["optimizer"],
        precision=row["precision"],
        sequence=row["seq"],
        micro_batch=row["micro_bs"],
        checkpointing=bool(int(row["grad_ckpt"])) if row["grad_ckpt"] else None,
        attention=row["attn"],
        loss=row["ce"],
        accelerators=int(row["n_gpu"]),
        sharding=row["sharding"],
        accelerator=row["gpu"],
        value=row["value"],
        unit=row["unit"],
        metric=row["metric"],
        notes=row["notes"],
        shape=_shape(row) if row["hidden"] else None,
    )


def _shape(row: dict[str, str]) -> Shape:
    return Shape(
        parameters=round(float(row["params_B"]) * 1e9),
        hidden_size=int(row["hidden"]),
        layers=int(row["layers"]),
        intermediate_size=int(row["inter"]),
        heads=int(row["heads"]),
        key_value_heads=int(row["kv_heads"]),
        head_dim=int(row["head_dim"]),
        vocabulary=int(row["vocab"]),
        tied=row["tied"] == "1",
    )
