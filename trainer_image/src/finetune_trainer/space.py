"""Whether checkpoints and the result will fit on the disk, asked before the first step and not after hours."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from finetune_api.contract import Outcome
from finetune_trainer.failure import Failure

_GIB = 1 << 30
# Bytes of optimizer state per trained parameter: two moments in fp32, or in 8 bits.
_MOMENTS = {True: 2, False: 8}


def needed_bytes(trained: Iterable[Any], *, optimizer: str, keep: int) -> int:
    """Disk that a run takes at its peak, in bytes: a new checkpoint is written before an old one goes, and the result
    is written beside them.

    `trained` are the tensors that are trained; `optimizer` is transformers' name of it.
    """
    weights = moments = 0
    for tensor in trained:
        weights += tensor.numel() * tensor.element_size()
        moments += tensor.numel() * _MOMENTS["8bit" in optimizer]
    return (keep + 1) * (weights + moments) + weights


def check(folder: Path, needed: int, *, keep: int) -> None:
    """Raises BAD_CONFIG (DiskFull) where less than `needed` bytes are free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise Failure(
            Outcome.BAD_CONFIG,
            "DiskFull",
            f"the result and {keep + 1} checkpoints ({keep} are kept while the next is written) take "
            f"{needed / _GIB:.1f} GiB, and {free / _GIB:.1f} GiB are free; give spec.storage.size at least "
            f"{(needed - free) / _GIB:.1f} GiB more, or set spec.checkpoint.keep to 1",
        )
