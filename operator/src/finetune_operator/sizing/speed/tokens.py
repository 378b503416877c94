"""Tokens of data that nobody has counted yet."""

from __future__ import annotations

from finetune_operator.sizing.facts import DataFacts

BYTES_PER_TOKEN = 3.94
"""Of English with Llama 3's vocabulary of 128,000 (Grattafiori et al. 2024, arXiv:2407.21783, section 3.2)."""
BYTES_PER_TOKEN_SMALL = 3.17
"""The same with Llama 2's 32,000 (ibid.)."""
SMALL_VOCABULARY = 64_000
JSON_BYTES_PER_ROW = 60
"""Braces, quotes, and the names of two or three columns."""
BYTES_PER_ROW = 1000
"""Of instruction data, where rows cannot be counted: an assumption."""


def tokens_from_bytes(size: int, *, rows: int | None = None, vocabulary_size: int | None = None) -> DataFacts:
    """What a JSONL file of `size` bytes may hold, marked as estimated. Other scripts than Latin have more tokens.

    `vocabulary_size`: the model's; left out: a large one.
    """
    count = rows if rows is not None else max(1, size // BYTES_PER_ROW)
    text = max(0, size - JSON_BYTES_PER_ROW * count)
    small = vocabulary_size is not None and vocabulary_size < SMALL_VOCABULARY
    tokens = round(text / (BYTES_PER_TOKEN_SMALL if small else BYTES_PER_TOKEN))
    return DataFacts(rows=count, tokens=max(count, tokens), estimated=True)
