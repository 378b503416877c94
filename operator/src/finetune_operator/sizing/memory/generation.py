"""Text that is made while evaluating."""

from __future__ import annotations

from finetune_operator.sizing.memory import precision
from finetune_operator.sizing.setup import Setup


def cache(setup: Setup) -> int:
    """Bytes of the keys and values of all tokens in all layers; a layer with a window keeps those in it.

    Pope et al. 2022, arXiv:2211.05102, section 3.3; transformers' DynamicCache cuts to the window, layer by layer.
    """
    if setup.generation is None:
        return 0
    architecture, made = setup.architecture, setup.generation
    token = 2 * architecture.key_value_width * precision.compute(setup)
    window = min(made.context, architecture.sliding_window or made.context)
    positions = (architecture.layers - architecture.sliding_layers) * made.context
    positions += architecture.sliding_layers * window
    return made.batch_size * positions * token


def prefill(setup: Setup) -> int:
    """Bytes of one layer's gate, up projection and product while the prompts are read, all of their tokens at once.

    What part of the context is prompt is not known: all of it, at most.
    """
    if setup.generation is None:
        return 0
    architecture, made = setup.architecture, setup.generation
    wide = 3 * architecture.intermediate_size + 2 * architecture.hidden_size
    return made.batch_size * made.context * wide * precision.compute(setup)


def logits(setup: Setup) -> int:
    """Bytes of the next token's logits: in fp32, and twice more as they are sorted and sampled."""
    if setup.generation is None:
        return 0
    return setup.generation.batch_size * setup.architecture.vocabulary_size * 3 * precision.FP32
