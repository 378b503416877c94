"""What the backward pass through one layer needs beside what the layer kept: gradients, casts, whole weights."""

from __future__ import annotations

from finetune_operator.sizing.memory import norms, precision, trained, weights
from finetune_operator.sizing.memory.batch import tokens
from finetune_operator.sizing.setup import Setup

SPREAD = 4 + 1
"""Bytes of one weight that AutoGPTQ restores: in an int32, and in the int8 that it is copied to."""


def gradients_of_activations(setup: Setup) -> int:
    """Bytes of the widest moment in the feed-forward layer: gradients of product, activation and up projection.

    The product that was kept is gone by then. A fused gate and up projection joins both gradients. Experts: the
    gradients of what came back, in two orders, and of what was handed out.
    """
    architecture, compute = setup.architecture, precision.compute(setup)
    inner = architecture.intermediate_size
    fused = any(linear.name == "gate_up_proj" and linear.module for linear in architecture.linears)
    wide = (3 if fused else 2 if architecture.gated else 1) * inner
    experts = max((linear.active for linear in architecture.linears if not linear.module), default=0)
    wide = max(wide, 3 * experts * architecture.hidden_size)
    each = precision.FP32 if norms.widen(setup) else compute
    return tokens(setup) * (each * wide + stream(setup))


def stream(setup: Setup) -> int:
    """Bytes for each token of the gradient of the residual stream."""
    return setup.architecture.hidden_size * trained.stream(setup)


def casts_of_adapters(setup: Setup) -> int:
    """Bytes of the widest adapter's input as it is cast, dropped out of and multiplied.

    An adapter in fp32 beside a plain matrix gets its input in fp32 (PEFT), and dropout another; autocast makes it half
    precision again. Where nothing is cast, it is the input's gradient alone, in both types if the input came in fp32.
    """
    if setup.method == "ia3":
        return 0
    compute, fp32 = precision.compute(setup), precision.trained(setup)

    def width(each: trained.Adapted) -> int:
        if norms.widen(setup):
            casts = fp32
        else:
            casts = fp32 * (2 if setup.dropout else 1) if trained.casts_input(setup, each.linear) else 0
        return each.linear.inputs * (compute + casts)

    widest = max((width(each) for each in trained.adapted(setup) if each.linear.module), default=0)
    return tokens(setup) * (widest + 4 * setup.architecture.hidden_size * compute) if widest else 0


def dequantised(setup: Setup) -> int:
    """Bytes of the largest quantised matrix in the arithmetic's type: bitsandbytes restores one at a time, whole.

    Its scales too, in fp32, where they are quantised themselves. Of AutoGPTQ it is what it needs beyond the result,
    which stays (restored): nn_modules/qlinear/qlinear_cuda_old.py, 0.4.2 to 0.5.1, without exllama, as in training.
    """
    largest = max((each.matrix for each in setup.architecture.linears if weights.quantised(setup, each)), default=0)
    if setup.engine.quantization == "int4-gptq":
        return largest * (SPREAD - precision.compute(setup))
    scales = 4 / 64 if setup.engine.quantization == "nf4-dq" else 0
    return round(largest * (precision.compute(setup) + scales))


def restored(setup: Setup) -> int:
    """Bytes of one layer's quantised matrices in the arithmetic's type, where torch's matmul keeps them.

    AutoGPTQ multiplies by what it restored, and autograd keeps it for the input's gradient; bitsandbytes restores it
    once more instead.
    """
    if setup.engine.quantization != "int4-gptq":
        return 0
    matrices = (each.matrix * each.copies for each in setup.architecture.linears if weights.quantised(setup, each))
    return sum(matrices) * precision.compute(setup)


def merged_experts(setup: Setup) -> int:
    """Bytes of one layer's experts with their adapters added.

    PEFT's ParamWrapper adds the adapter to the bare parameter in every forward pass.
    """
    return sum(_bare(setup)) * precision.compute(setup)


def gradient_of_merged(setup: Setup) -> int:
    """Bytes of the gradient of the larger of a layer's two parameters, from which that of its adapter is made."""
    return max(_bare(setup), default=0) * precision.compute(setup)


def _bare(setup: Setup) -> list[int]:
    linears = (each.linear for each in trained.adapted(setup) if not each.linear.module)
    return [linear.matrix * linear.copies for linear in linears if linear.part == "mlp"]
