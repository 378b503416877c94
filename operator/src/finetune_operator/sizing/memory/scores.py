"""What is quadratic in the length of a sequence: masks, and the scores of attention where they are materialised."""

from __future__ import annotations

from finetune_operator.sizing.memory import activations, precision
from finetune_operator.sizing.memory.batch import sequences
from finetune_operator.sizing.setup import Setup


def pairs(setup: Setup) -> int:
    """Pairs of a query and a key in one forward pass, for one head."""
    return sequences(setup) * setup.sequence_length**2


def mask(setup: Setup) -> int:
    """Bytes of the mask that all layers share: one byte a pair for sdpa, the type of the arithmetic for eager.

    None for flash attention, which takes the bounds of the sequences.
    """
    if setup.kernel == "eager":
        return pairs(setup) * precision.compute(setup)
    return pairs(setup) if activations.needs_mask(setup) else 0


def layer(setup: Setup) -> int:
    """Bytes that one layer keeps of it: sdpa its mask once more, as numbers to add; eager all scores of all heads.

    Eager softmax is in fp32 and its result is rounded for the product with the values: both are kept. A tanh around
    the scores keeps its result too (Gemma 2).
    """
    compute = precision.compute(setup)
    if setup.kernel == "eager":
        kept = precision.FP32 + compute * (2 if setup.architecture.logit_softcap else 1)
        return setup.architecture.attention_heads * pairs(setup) * kept
    return pairs(setup) * compute if activations.needs_mask(setup) else 0


def workspace(setup: Setup) -> int:
    """Bytes of the gradients of one layer's scores: of the rounded ones, and in fp32 behind and before softmax."""
    if setup.kernel != "eager":
        return 0
    return setup.architecture.attention_heads * pairs(setup) * (precision.compute(setup) + 2 * precision.FP32)
