"""Bytes that one forward and backward pass moves through the memory of one accelerator.

Between its matrix products a transformer does little arithmetic on much data, and waits for memory (Ivanov et al.
2021, arXiv:2007.00072: over a third of the time). Counted are reads and writes of each operation as the modules of
transformers and PEFT make them, one kernel after the other, in 16 bits; norms in fp32.
"""

from __future__ import annotations

from dataclasses import dataclass

from finetune_operator.sizing.architecture import Linear
from finetune_operator.sizing.memory.trained import adapted
from finetune_operator.sizing.memory.weights import quantised
from finetune_operator.sizing.setup import Setup

NORM = 36
"""Bytes per element: to fp32, square, mean, scale, back to 16 bits, times the weights."""
RESIDUAL = 6
ROTATION = 20
"""Two products, a turned copy, a sum."""
GATED, PLAIN = 10, 16
"""silu(gate) x up; gelu in its tanh form is compiled into fewer kernels than it has operations."""
SCORES = 20
"""Per score, where they are materialised: product, mask, softmax in fp32, back to 16 bits."""
CACHED = 0.25
"""Share of these reads that find what the operation before has just written still in the cache: fitted."""
FUSED = 0.5
"""Share that is left where torch.compile or Triton kernels fuse them: fitted; torchtune gains 27% of speed by it."""
LOGITS = {"eager": 40, "chunked": 16, "liger": 16}
"""Per logit, forward and backward: fp32 copies, log-softmax and its gradient; chunks are small but not fewer."""
NF4_READ = 0.5 + 1 / 16
"""Bytes per weight: 4 bits, and an absmax in fp32 per block of 64 (QLoRA, arXiv:2305.14314, section 3)."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes, of all tokens of a pass."""

    weights: float
    """Each product reads its matrix; with few tokens that takes longer than the product."""
    elementwise: float
    """Between the products, and the loss."""
    dequantised: float
    """Weights that are made 16-bit from 4-bit for each product: read and written."""


def training(setup: Setup) -> Traffic:
    """Of one forward and backward pass."""
    full, recomputed = setup.method == "full", int(setup.gradient_checkpointing)
    reference = int(setup.objective == "dpo")
    read_passes = 2 + recomputed + reference
    logits = setup.tokens * setup.architecture.vocabulary_size * LOGITS[setup.engine.loss_kernel]
    # backward each operation reads its input or output again beside the gradient
    passes = 3 + recomputed + reference
    return Traffic(
        weights=2.0 * touched_weights(setup) * (read_passes + full),
        elementwise=(1 - CACHED) * setup.tokens * (_layers(setup) + _adapters(setup)) * passes + logits,
        dequantised=quantised_weights(setup) * (NF4_READ + 2) * read_passes,
    )


def evaluation(setup: Setup) -> Traffic:
    """Of one forward pass."""
    logits = setup.tokens * setup.architecture.vocabulary_size * LOGITS[setup.engine.loss_kernel] / 2
    return Traffic(
        weights=2.0 * touched_weights(setup),
        elementwise=(1 - CACHED) * setup.tokens * (_layers(setup) + _adapters(setup)) + logits,
        dequantised=quantised_weights(setup) * (NF4_READ + 2),
    )


def touched_weights(setup: Setup) -> float:
    """Weights that a pass reads: of experts, those that any of its tokens is sent to, if it is sent at random."""
    total = 0.0
    for linear in setup.architecture.linears:
        copies = float(linear.copies)
        if linear.active < linear.copies:
            copies *= 1 - (1 - linear.active / linear.copies) ** setup.tokens
        total += linear.matrix * linear.layers * copies
    return total + setup.architecture.vocabulary_size * setup.architecture.hidden_size


def quantised_weights(setup: Setup) -> float:
    """Weights that are held in 4 bits."""
    return float(sum(it.weights for it in setup.architecture.linears if quantised(setup, it)))


def _layers(setup: Setup) -> float:
    """Bytes per token of a forward pass, over all layers, without adapters."""
    shape = setup.architecture
    hidden, turned = shape.hidden_size, shape.query_width + shape.key_value_width
    activation = GATED if shape.gated else PLAIN
    layer = (
        hidden * (NORM * shape.norms_per_layer + 2 * RESIDUAL)
        + turned * (ROTATION + NORM * shape.query_key_norm)
        + shape.intermediate_size * activation
    )
    fused = FUSED if setup.engine.compiled else 1.0
    flash = 4.0 * (shape.query_width + shape.key_value_width)
    scores = float(SCORES * shape.attention_heads * setup.sequence_length) if setup.kernel == "eager" else 0.0
    return shape.layers * (layer * fused + flash + scores)


def _adapters(setup: Setup) -> float:
    """The same of the adapters: PEFT's forward (peft/tuners/lora/layer.py) copies, drops out, scales and adds."""
    fused = FUSED if setup.engine.compiled else 1.0
    linears = (each.linear for each in adapted(setup))
    return fused * sum(_adapter(setup, it) * it.layers * it.active for it in linears)


def _adapter(setup: Setup, linear: Linear) -> float:
    wide = setup.engine.adapter_precision == "fp32"
    if setup.method == "ia3":
        return 4.0 * (linear.inputs if linear.part == "mlp" else linear.outputs)
    # to fp32, and back for the product under autocast
    copied = 12 if wide else 0
    dropped = (9 if wide else 5) if setup.dropout else 0
    return float((copied + dropped + 2) * linear.inputs + 12 * linear.outputs)
