"""How many sequences and tokens one forward pass has."""

from __future__ import annotations

from finetune_operator.sizing.setup import Setup


def sequences(setup: Setup) -> int:
    """Of one forward pass. DPO puts the chosen and the rejected answer of a row through together (arXiv:2305.18290)."""
    return setup.micro_batch_size * (2 if setup.objective == "dpo" else 1)


def tokens(setup: Setup) -> int:
    """Tokens of one forward pass on one accelerator."""
    return sequences(setup) * setup.sequence_length
