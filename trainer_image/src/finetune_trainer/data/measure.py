"""How much a data set is, in rows and tokens, without keeping any of it.

All of a small one is made into tokens, by the rules of training. Of a large one the first rows are; the rest is read
and checked row by row, and its tokens are taken to be as many as those of the rows before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data import split
from finetune_trainer.data.examples import Tokenising, must_have_examples
from finetune_trainer.data.formats import Format
from finetune_trainer.data.report import Counts
from finetune_trainer.data.row import Row


@dataclass(frozen=True, slots=True)
class Side:
    """What of a data set is on one side of the split, or all of it. Lengths and tokens are numbers of tokens."""

    rows: int
    tokens: int
    """Of one epoch, cut."""
    trained_tokens: int
    lost_tokens: int
    longest: int
    """Before it is cut, as is the next."""
    p99: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A data set, tokenised as far as it was, and how many times as much there is of it."""

    lengths: NDArray[np.int64]
    """Of each example before it is cut, those that are dropped for their length included."""
    kept: NDArray[np.int64]
    """Tokens that are left of it; 0: it is dropped."""
    trained: NDArray[np.int64]
    keys: NDArray[np.uint64]
    counts: Counts
    scale: float
    """Rows that there are per row that was made into tokens; 1: it was all of them."""

    def whole(self, share: float) -> Side:
        """All of it, where `share` of the data was there to be read."""
        return self._side(np.ones(len(self.keys), dtype=np.bool_), share)

    def divided(self, fraction: float, share: float) -> tuple[Side, Side]:
        """What is trained on, and what is held out. Raises BAD_DATA where it can't be divided."""
        left = self.keys[self.kept > 0]
        _, held = split.hold_out(left, fraction)
        here = self.keys > left[held].max()
        return self._side(here, share), self._side(~here, share)

    def _side(self, here: NDArray[np.bool_], share: float) -> Side:
        lengths, kept = self.lengths[here], self.kept[here]
        times = self.scale / share

        def in_all(number: int) -> int:
            return round(number * times)

        return Side(
            rows=in_all(int(np.count_nonzero(kept))),
            tokens=in_all(int(kept.sum())),
            trained_tokens=in_all(int(self.trained[here].sum())),
            lost_tokens=in_all(int((lengths - kept).sum())),
            longest=int(lengths.max(initial=0)),
            p99=int(np.quantile(lengths, 0.99, method="inverted_cdf")) if len(lengths) else 0,
        )


@dataclass(slots=True)
class _Columns:
    lengths: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)


def measure(
    work: Tokenising, source: Path, *, most_tokens: int, processes: int, alive: Callable[[], None] = lambda: None
) -> Measured:
    """Read all of `source`, and make it into tokens until there are `most_tokens`.

    `alive` is called now and then. Raises BAD_DATA at the first row that can't be used, or if none can.
    """
    rows = _Counted(work.rows(source))
    columns, counts, tokens = _Columns(), Counts(), 0
    for made in work.blocks(rows, processes=processes):
        columns.lengths += [*made.lengths, *(example.length for example in made.overlong)]
        columns.kept += [*(len(example.ids) for example in made.tokens), *(0 for _ in made.overlong)]
        columns.trained += [*(int(example.trained.sum()) for example in made.tokens), *(0 for _ in made.overlong)]
        columns.keys += [*made.keys, *(example.key for example in made.overlong)]
        counts += made.counts
        tokens += sum(made.lengths)
        alive()
        if tokens >= most_tokens:
            break
    for row, format_ in rows:
        work.check(row, format_)
        alive()
    must_have_examples(source, counts)
    return Measured(
        lengths=np.asarray(columns.lengths, dtype=np.int64),
        kept=np.asarray(columns.kept, dtype=np.int64),
        trained=np.asarray(columns.trained, dtype=np.int64),
        keys=np.asarray(columns.keys, dtype=np.uint64),
        counts=counts,
        scale=rows.number / counts.rows,
    )


class _Counted:
    """An iterator that knows how many it has given."""

    def __init__(self, rows: Iterator[tuple[Row, Format]]) -> None:
        self._rows = rows
        self.number = 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> tuple[Row, Format]:
        row = next(self._rows)
        self.number += 1
        return row
