"""Tokens of data that nobody has counted yet."""

from __future__ import annotations

from finetune_operator.sizing.facts import DataFacts

BYTES_PER_TOKEN = 4.0
"""Of English prose with vocabularies of 100,000 and more; those of 32,000 have about 3.8, other scripts far fewer."""
JSON_BYTES_PER_ROW = 60
"""Braces, quotes, and the names of two or three columns."""


def tokens_from_bytes(size: int, *, rows: int | None = None) -> DataFacts:
    """What a JSONL file of `size` bytes may hold, marked as estimated.

    `rows`: if they are known; else rows of 1,000 bytes are assumed, as instruction data has them.
    """
    count = rows if rows is not None else max(1, size // 1000)
    text = max(0, size - JSON_BYTES_PER_ROW * count)
    return DataFacts(rows=count, tokens=max(count, round(text / BYTES_PER_TOKEN)), estimated=True)
