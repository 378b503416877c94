"""Floating-point operations of one forward and backward pass on one accelerator.

A matrix of n weights takes 2n operations a token forward; backward 2n for the gradient of its input and, where it is
trained, 2n for its own: 6n in all (Kaplan et al. 2020, arXiv:2001.08361, section 2.1). Frozen under an adapter it
takes 4n. Recomputing a forward pass under gradient checkpointing adds 2n (Narayanan et al. 2021, arXiv:2104.04473,
section 5). Norms, activations and the like are counted as bytes (`traffic`): they wait for memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.memory.trained import adapted, trains_head
from finetune_operator.sizing.setup import Setup


@dataclass(frozen=True, slots=True)
class Flops:
    """Floating-point operations, of all tokens of a pass."""

    layers: float
    """Matrices of the layers."""
    adapters: float
    """Low-rank matrices beside them."""
    attention: float
    """Scores and weighted values."""
    head: float
    """Output head."""

    @property
    def total(self) -> float:
        return self.layers + self.adapters + self.attention + self.head


def training(setup: Setup, *, example_tokens: float | None = None) -> Flops:
    """Of one forward and backward pass over `setup.tokens`.

    `example_tokens`: mean length of the examples in a pack; None: as long as the sequence.
    """
    tokens, recomputed = setup.tokens, int(setup.gradient_checkpointing)
    full = setup.method == "full"
    layers, adapters = active_weights(setup.architecture), adapter_weights(setup)
    head = setup.architecture.vocabulary_size * setup.architecture.hidden_size
    # chunked: each chunk's logits are computed once more backward, instead of being kept
    head_passes = 4 + 2 * trains_head(setup) + 2 * (setup.engine.loss_kernel == "chunked")
    # Backward, a fused kernel makes 5 products where forward it makes 2 (FlashAttention-2, arXiv:2307.08691,
    # section 2.3); scores that were kept need only 4.
    backward = 2.0 if setup.kernel == "eager" else 2.5
    reference = _reference_passes(setup)
    return Flops(
        layers=tokens * layers * (4 + 2 * full + 2 * recomputed + 2 * reference),
        adapters=tokens * adapters * (6 + 2 * recomputed),
        attention=tokens * _attention(setup, example_tokens) * (1 + backward + recomputed + reference),
        head=tokens * head * (head_passes + 2 * reference),
    )


def evaluation(setup: Setup, *, example_tokens: float | None = None) -> Flops:
    """Of one forward pass over `setup.tokens`, with its loss."""
    head = setup.architecture.vocabulary_size * setup.architecture.hidden_size
    return Flops(
        layers=setup.tokens * active_weights(setup.architecture) * 2.0,
        adapters=setup.tokens * adapter_weights(setup) * 2.0,
        attention=setup.tokens * _attention(setup, example_tokens),
        head=setup.tokens * head * 2.0,
    )


def active_weights(architecture: Architecture) -> int:
    """Weights of the layers' matrices that one token is multiplied with."""
    return sum(linear.matrix * linear.layers * linear.active for linear in architecture.linears)


def adapter_weights(setup: Setup) -> int:
    """Weights of low-rank adapters that one token is multiplied with. Those of ia3 are vectors: too few to count."""
    if setup.method not in ("lora", "qlora"):
        return 0
    each = ((it.rank, it.linear) for it in adapted(setup))
    return sum(rank * (it.inputs + it.outputs) * it.layers * it.active for rank, it in each)


def _attention(setup: Setup, example_tokens: float | None) -> float:
    """Operations of attention in a forward pass, per token, over all layers.

    4 x width of the queries x tokens looked at (PaLM, arXiv:2204.02311, appendix B: 12 with the backward pass).
    """
    shape = setup.architecture
    everything = _looked_at(setup, example_tokens, window=None)
    windowed = _looked_at(setup, example_tokens, window=shape.sliding_window)
    seen = (shape.layers - shape.sliding_layers) * everything + shape.sliding_layers * windowed
    return 4.0 * shape.query_width * seen


def _looked_at(setup: Setup, example_tokens: float | None, *, window: int | None) -> float:
    """Tokens whose scores are computed for a token, on average.

    A kernel that knows that attention is causal leaves out half. One that is given a mask computes all of it: sdpa
    under packing and under a window, eager always.
    """
    length = float(setup.sequence_length)
    if setup.kernel == "eager" or (setup.kernel == "sdpa" and (setup.packed or window is not None)):
        return length
    if setup.packed and example_tokens is not None:
        length = min(length, example_tokens)
    if window is None or window >= length:
        return length / 2
    return window - window * window / (2 * length)


def _reference_passes(setup: Setup) -> int:
    """Forward passes of the model that dpo compares with: the base model, with the adapter turned off."""
    return int(setup.objective == "dpo")
