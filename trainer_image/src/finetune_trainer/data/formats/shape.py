"""What a format is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from finetune_api.schema import DatasetFormat, TrainOn
from finetune_trainer.data.example import Example
from finetune_trainer.data.row import Row


@dataclass(frozen=True, slots=True)
class Wanted:
    """What rows are turned into."""

    chat: bool
    """The tokenizer has a chat template."""
    train_on: TrainOn


@dataclass(frozen=True, slots=True)
class Format:
    """A shape of rows."""

    name: DatasetFormat
    columns: tuple[str, ...]
    """Columns that every row has."""
    convert: Callable[[Row, Wanted], Example]
    """Raises BAD_DATA for a row that hasn't the shape, and EmptyResponseError for one with nothing to learn from."""

    def fits(self, row: Row) -> bool:
        return all(column in row.fields for column in self.columns)
