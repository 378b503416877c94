"""What norms keep, and what a LayerNorm under autocast does to the types around it."""

from __future__ import annotations

from finetune_operator.sizing.memory import precision, weights
from finetune_operator.sizing.setup import Setup

LAYER_NORM = frozenset(
    {
        *("bloom", "codegen", "falcon", "gpt2", "gpt-sw3", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "mpt", "olmo"),
        *("opt", "phi", "phimoe", "stablelm", "starcoder2"),
    }
)
"""Models with torch's LayerNorm (transformers 5.23); all others have an RMSNorm that is written out."""
SCALED_IN_FP32 = frozenset({"qwen3_5_moe_text", "qwen3_5_text", "qwen3_next"})
"""Models beside Gemma whose RMSNorm multiplies by one plus the weight before it rounds."""
NUMBER = 4
"""Bytes of a number for each row: the scale of an RMSNorm; a LayerNorm's mean and scale are two."""


def one(setup: Setup, width: int, *, feeds_linear: bool = True) -> int:
    """Bytes for each token that one norm over `width` keeps.

    transformers writes RMSNorm out: an fp32 copy of the input (its square's gradient), one number a row, and where the
    scale is trained the normed values; its result is kept as the input of trained matrices. Compiled, the input in its
    own type is enough, beside the result that a trained matrix reads: what must be written anyhow is not made anew.
    LayerNorm is one kernel, which keeps its input; autocast on GPUs makes that fp32 (ATen/autocast_mode.h).
    """
    compute, full = precision.compute(setup), setup.method == "full"
    if setup.engine.compiled:
        return width * (precision.weight(setup) + (compute if full and feeds_linear else 0)) + NUMBER
    result = compute if full and feeds_linear and not rounded_by_each(setup) else 0
    if setup.architecture.model_type in LAYER_NORM:
        copy = precision.FP32 if precision.autocasts(setup) else precision.weight(setup)
        return width * (copy + result) + 2 * NUMBER
    model_type = setup.architecture.model_type
    in_fp32 = model_type.startswith("gemma") or model_type in SCALED_IN_FP32
    normed = precision.FP32 if in_fp32 else precision.weight(setup)
    return width * (precision.FP32 + (normed if full else 0) + result) + NUMBER


def of_layer(setup: Setup) -> int:
    """Bytes for each token of a layer's norms of the residual stream. One more than two stands behind a matrix."""
    architecture = setup.architecture
    before = min(architecture.norms_per_layer, 2)
    after = architecture.norms_per_layer - before
    width = architecture.hidden_size
    return before * one(setup, width) + after * one(setup, width, feeds_linear=False)


def rounded_by_each(setup: Setup) -> bool:
    """Whether a norm's result is in fp32, so that autocast makes a copy of it for each trained matrix that reads it."""
    if setup.method != "full":
        return False
    gives_fp32 = setup.architecture.model_type in LAYER_NORM and precision.autocasts(setup)
    return precision.autocast(setup) or gives_fp32


def widen(setup: Setup) -> bool:
    """Whether quantised matrices, and with them the residual stream, give fp32.

    A LayerNorm under autocast does, and bitsandbytes gives back the type that came in (nn/modules.py, Linear4bit).
    """
    if setup.architecture.model_type not in LAYER_NORM or not precision.autocasts(setup):
        return False
    return any(weights.quantised(setup, linear) for linear in setup.architecture.linears)
