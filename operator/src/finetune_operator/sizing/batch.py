"""How the sequences of one optimizer step are cut into micro-batches. The effective batch never changes."""

from __future__ import annotations

from finetune_operator.sizing import defaults

LARGEST_UNASKED = 8
"""Sequences; without a memory model a larger micro-batch is a risk, and a smaller one only costs some speed."""


def micro_batch_size(*, effective: int, asked: int | None, packing: bool) -> int:
    """Sequences per accelerator and forward pass, always a divisor of `effective`.

    Packed sequences are long, and several at once would need an attention mask over all of them: they go alone.
    """
    if packing and asked is None:
        return 1
    return largest_divisor(effective, limit=asked if asked is not None else LARGEST_UNASKED)


def halved(micro_batch: int, *, effective: int) -> int | None:
    """The next smaller micro-batch after running out of GPU memory; None: it is 1 already."""
    return None if micro_batch <= 1 else largest_divisor(effective, limit=micro_batch // 2)


def accumulation(micro_batch: int, *, effective: int, packing: bool) -> int | None:
    """Forward passes per optimizer step; None under packing, where the trainer counts examples instead."""
    return None if packing else effective // micro_batch


def largest_divisor(number: int, *, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit` (which is 1 or more)."""
    return next(size for size in range(min(limit, number), 0, -1) if number % size == 0)


def effective_batch_size(asked: int | None) -> int:
    """Examples per optimizer step."""
    return defaults.EFFECTIVE_BATCH_SIZE if asked is None else asked
