"""What is known of a job's inputs before it runs, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from finetune_api.schema import DatasetFormat
from finetune_operator.sizing.architecture import Architecture


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The base model's shape."""

    architecture: Architecture
    origin: Literal["config.json", "catalogue", "spec.model.architecture"]


@dataclass(frozen=True, slots=True)
class DataFacts:
    """The training rows, cut at the maximum sequence length. None: not known."""

    rows: int | None = None
    tokens: int | None = None
    """Of one epoch."""
    longest_tokens: int | None = None
    """Of the longest row, before it is cut."""
    p99_tokens: int | None = None
    """99 of 100 rows have at most so many, before they are cut."""
    lost_tokens: int | None = None
    """Of one epoch, cut off by the maximum sequence length."""
    validation_rows: int | None = None
    validation_tokens: int | None = None
    format: DatasetFormat | None = None
    """Shape of the rows, as it was detected."""
    estimated: bool = False
    """From the size of the files, rather than counted."""
