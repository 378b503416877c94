"""The base model's weights, as they lie in memory."""

from __future__ import annotations

from finetune_operator.sizing.architecture import Linear
from finetune_operator.sizing.memory import precision
from finetune_operator.sizing.setup import Setup

BYTES = {
    "nf4": 0.5 + 4 / 64,
    "nf4-dq": 0.5 + 1 / 64 + 4 / (64 * 256),
    "int4-gptq": 0.5 + (2 + 0.5) / 128,
    "int8": 1.0,
}
"""Bytes of one quantised weight with its share of the scales.

NF4: 4 bits and an fp32 scale for 64 weights; with double quantisation the scale takes 8 bits and an fp32 one of its own
for 256 scales (Dettmers et al. 2023, arXiv:2305.14314, section 3). GPTQ: 4 bits, and an fp16 scale and a 4-bit zero for
a group of 128 (Frantar et al. 2022, arXiv:2210.17323, and AutoGPTQ's layout). int8: one byte; its scales, one for each
output, are too few to count (Dettmers et al. 2022, arXiv:2208.07339).
"""


OWN_LINEAR = frozenset({"falcon"})
"""Models whose matrices are of a class of their own."""


def quantised(setup: Setup, linear: Linear) -> bool:
    """Whether the matrix is quantised: linear layers are, all but the head; bare parameters of experts are not.

    transformers 5.23 (integrations/bitsandbytes.py) replaces what is exactly nn.Linear or Conv1D.
    """
    return setup.method == "qlora" and linear.module and setup.architecture.model_type not in OWN_LINEAR


def matrix_bytes(setup: Setup, linear: Linear, elements: int) -> float:
    """Bytes of so many elements of the matrix."""
    if quantised(setup, linear):
        return elements * BYTES[setup.engine.quantization]
    return elements * precision.weight(setup)


def weights(setup: Setup) -> int:
    """Bytes of the base model on one device that holds all of it: frozen, trained or quantised."""
    architecture = setup.architecture
    rest = architecture.embedding_parameters + architecture.head_parameters + architecture.other_parameters
    matrices = sum(matrix_bytes(setup, linear, linear.weights) for linear in architecture.linears)
    return round(matrices + rest * precision.weight(setup))


def scales(setup: Setup) -> int:
    """Bytes of NF4's scales, which are in `weights` too.

    FSDP2 cuts parameters, and bitsandbytes keeps the scales beside them (Linear4bit.quant_state).
    """
    if not setup.engine.quantization.startswith("nf4"):
        return 0
    each = BYTES[setup.engine.quantization] - 0.5
    return round(each * sum(linear.weights for linear in setup.architecture.linears if quantised(setup, linear)))


def layer(setup: Setup) -> int:
    """Bytes of the heaviest layer, as it is stored."""
    return round(sum(matrix_bytes(setup, each, each.matrix * each.copies) for each in setup.architecture.linears))


def layer_elements(setup: Setup) -> int:
    """Elements of a layer's matrices. Of dense and sparse layers, one that has both: an upper bound."""
    architecture = setup.architecture
    return sum(linear.matrix * linear.copies for linear in architecture.linears)
