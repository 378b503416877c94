"""Which examples are held out for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetune_api.contract import Outcome
from finetune_trainer.failure import Failure


def key(content: str, seed: int) -> int:
    """A number from 0 to 2^64 - 1 that decides about an example: by its content, so that neither the order of rows
    nor other rows matter, and equal rows never stand on both sides."""
    digest = hashlib.blake2b(content.encode(), digest_size=8, salt=str(seed).encode()[:16])
    return int.from_bytes(digest.digest(), "big")


def hold_out(keys: Sequence[int] | NDArray[np.uint64], fraction: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(numbers of the training examples, of the validation examples), both in the data's order, neither empty.

    Those with the smallest keys are held out; how many is as near to fraction * count as equal rows allow.
    Raises BAD_DATA where there are not two different examples.
    """
    values = np.asarray(keys, dtype=np.uint64)
    different, counts = np.unique(values, return_counts=True)
    if len(different) < 2:
        raise Failure(
            Outcome.BAD_DATA,
            "TooFewRows",
            f"dataset.validation.fraction: {len(values)} usable rows, {len(different)} different, can't be divided; "
            "give more rows, or leave validation out",
        )
    sizes = np.cumsum(counts)[:-1]  # of each set that could be held out; the last would leave nothing
    limit = different[np.argmin(np.abs(sizes - fraction * len(values)))]
    held = values <= limit
    return np.flatnonzero(~held), np.flatnonzero(held)
