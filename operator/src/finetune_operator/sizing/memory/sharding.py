"""What several accelerators divide among them, and what working together costs each."""

from __future__ import annotations

from finetune_operator.sizing.memory import precision, trained, weights
from finetune_operator.sizing.setup import Setup

IN_FLIGHT = 2
"""Layers that FSDP holds whole at a time: the one that is computed, and the next, which is fetched meanwhile."""


def share(setup: Setup, amount: int) -> int:
    """What each accelerator keeps of something that fsdp divides (Zhao et al. 2023, arXiv:2304.11277)."""
    return -(-amount // setup.accelerators) if setup.sharding == "fsdp" else amount


def base(setup: Setup) -> int:
    """Bytes of the base model that each accelerator keeps: under fsdp a part, but the scales of all of it."""
    whole = weights.scales(setup)
    return share(setup, weights.weights(setup) - whole) + whole


def gathered(setup: Setup) -> int:
    """Bytes of whole layers, and of embedding and head, which FSDP2's root keeps whole from forward to backward."""
    if setup.sharding != "fsdp" or setup.accelerators == 1:
        return 0
    architecture = setup.architecture
    outer = architecture.embedding_parameters + architecture.head_parameters
    layer = min(weights.layer(setup), weights.layer_elements(setup) * precision.compute(setup))
    return IN_FLIGHT * layer + outer * precision.compute(setup)


def buckets(setup: Setup) -> int:
    """Bytes that DeepSpeed's ZeRO-2 takes for gradients at the start of the backward pass, whatever their number.

    With overlap_comm two of reduce_bucket_size elements (runtime/zero/stage_1_and_2.py, backward).
    """
    return round(setup.engine.gradient_buckets_gib * (1 << 30))


def reduced(setup: Setup) -> int:
    """Bytes of gradients on their way to other accelerators.

    DDP keeps all in buckets beside the gradients (Li et al. 2020, arXiv:2006.15704, section 3.2). FSDP2 has one
    layer's, whole, and in fp32 for the sum; that of embedding and head, at the end, is the largest where it is trained.
    """
    if setup.accelerators == 1 or setup.sharding == "none":
        return 0
    if setup.sharding == "ddp":
        return trained.bytes_of(setup, trained.parameters(setup))
    architecture = setup.architecture
    if setup.method == "full":
        outer = architecture.embedding_parameters + architecture.head_parameters
        largest = max(weights.layer_elements(setup), outer)
    else:
        layer = -(-trained.adapter_parameters(setup) // architecture.layers)
        largest = max(layer, trained.saved_parameters(setup))
    return largest * (precision.compute(setup) + precision.FP32)
