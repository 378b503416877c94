"""What the output head and the loss need, between the forward and the backward pass."""

from __future__ import annotations

from finetune_operator.sizing.memory import precision, trained
from finetune_operator.sizing.memory.batch import tokens
from finetune_operator.sizing.setup import Setup

TILE_TOKENS = 4096
TILE_VOCABULARY = 32768
"""Size of the tiles of logits in TRL 1.16 (kernels/chunked_logprob.py)."""
CPU_TILES = 6
"""fp32 copies of a tile that its gradient takes in plain torch; the GPU's kernel works in place."""


def final_norm(setup: Setup) -> int:
    """Bytes that the last norm keeps, its result, and the part of it that has labels, which TRL copies."""
    architecture = setup.architecture
    width = architecture.hidden_size
    kept = width * precision.FP32 + width * precision.weight(setup) * (1 if setup.method == "full" else 0)
    copies = 2 if setup.engine.loss_kernel == "chunked" and setup.device == "gpu" else 1
    result = max(precision.compute(setup), trained.stream(setup) if setup.method != "full" else 0)
    return tokens(setup) * (kept + width * result * copies)


def logits(setup: Setup) -> int:
    """Bytes of logits and of their gradients at the start of the backward pass."""
    match setup.engine.loss_kernel:
        case "eager":
            return _eager(setup)
        case "liger":
            return _liger(setup)
        case "chunked":
            return _chunked(setup)


def _eager(setup: Setup) -> int:
    """All logits as log-probabilities, and two gradients, all in fp32 or all in half precision.

    transformers 5.23 (loss/loss_utils.py) makes logits fp32 before cross_entropy, whose two parts, nll_loss and
    log_softmax, each give an fp32 gradient; the logits themselves are gone by then. A tanh keeps its result. Compiled,
    cross-entropy is fused, and its gradient is in the logits' type. Models that leave logits in half precision, such as
    Qwen's first, have all three in it where no autocast makes cross_entropy fp32.
    """
    compute = precision.compute(setup)
    loss = compute if setup.engine.loss_precision == "half" else precision.FP32
    each = 2 * compute + loss if setup.engine.compiled else 3 * loss
    each += loss if setup.engine.held_logits else 0
    if setup.architecture.logit_softcap:
        each += compute
    return tokens(setup) * setup.architecture.vocabulary_size * each


def _chunked(setup: Setup) -> int:
    """TRL: one tile of logits, the gradients of the hidden states and of a trained head in fp32 and in their own."""
    architecture, compute = setup.architecture, precision.compute(setup)
    tile = min(tokens(setup), TILE_TOKENS) * TILE_VOCABULARY
    used = min(tokens(setup), TILE_TOKENS) * min(TILE_VOCABULARY, architecture.vocabulary_size)
    needed = tile * compute + (CPU_TILES * used * precision.FP32 if setup.device == "cpu" else 0)
    needed += tokens(setup) * architecture.hidden_size * (precision.FP32 + compute)
    if trained.trains_head(setup):
        needed += architecture.embedding_parameters * precision.FP32
        if precision.trained(setup) < precision.FP32:
            needed += architecture.embedding_parameters * precision.trained(setup)
    return needed


def _liger(setup: Setup) -> int:
    """Liger's fused linear cross-entropy: logits of as many tokens as make them no larger than the hidden states.

    Hsu et al. 2024, arXiv:2410.10989, section 3.2; the gradients of the hidden states and of a trained head are made in
    the forward pass.
    """
    architecture, compute = setup.architecture, precision.compute(setup)
    chunks = -(-architecture.vocabulary_size // architecture.hidden_size)
    chunk = -(-tokens(setup) // chunks)
    needed = chunk * architecture.vocabulary_size * (compute + precision.FP32)
    needed += tokens(setup) * architecture.hidden_size * compute
    if trained.trains_head(setup):
        needed += architecture.embedding_parameters * precision.weight(setup)
    return needed
