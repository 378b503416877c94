"""Tokens of all examples in two flat files: written one after the other, read in any order, never all in memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from finetune_trainer.data.encode import Tokens

IGNORED = -100
"""The label of a token that the loss doesn't count, as torch has it."""
_BATCH_TOKENS = 1 << 20


class TokenStore:
    """Examples by number, in the order in which they were added. Its files are scratch, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._ids_path, self._mask_path = folder / "ids.scratch", folder / "mask.scratch"
        self._ids, self._mask = self._ids_path.open("wb"), self._mask_path.open("wb")
        self._lengths: list[int] = []
        self.trained: list[int] = []
        """Trained tokens of each example."""
        self.keys: list[int] = []
        """What decides on which side of the split it stands."""

    def __enter__(self) -> TokenStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file, path in ((self._ids, self._ids_path), (self._mask, self._mask_path)):
            file.close()
            path.unlink(missing_ok=True)

    def add(self, tokens: Tokens, key: int) -> None:
        self._ids.write(tokens.ids.tobytes())
        self._mask.write(tokens.trained.tobytes())
        self._lengths.append(len(tokens.ids))
        self.trained.append(int(tokens.trained.sum()))
        self.keys.append(key)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return np.asarray(self._lengths, dtype=np.int64)

    def write(self, path: Path, sequences: Iterable[Iterable[int]], *, packed: bool) -> None:
        """Write an Arrow stream: each of `sequences` is a row made of the examples with these numbers.

        Columns input_ids and labels, and seq_lengths (tokens of each example in the row) where `packed`.
        """
        self._ids.flush()
        self._mask.flush()
        ids = np.memmap(self._ids_path, dtype=np.int32, mode="r")
        mask = np.memmap(self._mask_path, dtype=np.bool_, mode="r")
        ends = np.cumsum(self.lengths)
        names = ["input_ids", "labels"] + (["seq_lengths"] if packed else [])
        schema = pa.schema([(name, pa.list_(pa.int32())) for name in names])
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            for batch in _batches(sequences, self._lengths):
                numbers = [number for sequence in batch for number in sequence]
                slices = [slice(ends[number] - self._lengths[number], ends[number]) for number in numbers]
                tokens = np.concatenate([ids[part] for part in slices])
                counted = np.concatenate([mask[part] for part in slices])
                labels = np.where(counted, tokens, np.int32(IGNORED))
                sizes = [sum(self._lengths[number] for number in sequence) for sequence in batch]
                columns = [_lists(sizes, tokens), _lists(sizes, labels)]
                if packed:
                    each = np.asarray([self._lengths[number] for number in numbers], dtype=np.int32)
                    columns.append(_lists([len(sequence) for sequence in batch], each))
                writer.write_batch(pa.record_batch(columns, schema=schema))


def _batches(sequences: Iterable[Iterable[int]], lengths: list[int]) -> Iterable[list[list[int]]]:
    batch: list[list[int]] = []
    tokens = 0
    for sequence in sequences:
        batch.append(list(sequence))
        tokens += sum(lengths[number] for number in batch[-1])
        if tokens >= _BATCH_TOKENS:
            yield batch
            batch, tokens = [], 0
    if batch:
        yield batch


def _lists(sizes: list[int], values: NDArray[np.int32]) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, type=pa.int32()))
