"""In which types a run keeps its numbers, as bytes for each. What the trainer does: finetune_trainer/settings.py."""

from __future__ import annotations

from finetune_operator.sizing.setup import Setup

FP32 = 4
HALF = 2


def compute(setup: Setup) -> int:
    """Of the arithmetic: bf16 and fp16 take 2, fp32 takes 4."""
    return FP32 if setup.precision == "fp32" else HALF


def weight(setup: Setup) -> int:
    """Of a weight of the base model that isn't quantised.

    What is trained under fp16 is held in fp32, since gradients of fp16 weights can't be unscaled.
    """
    if setup.method == "full" and (setup.engine.master_weights or setup.precision == "fp16"):
        return FP32
    return compute(setup)


def trained(setup: Setup) -> int:
    """Of a trained weight and its gradient."""
    if setup.method == "full":
        return weight(setup)
    return FP32 if setup.engine.adapter_precision == "fp32" else HALF


def autocast(setup: Setup) -> bool:
    """Weights in fp32 are multiplied in half precision: autocast makes a copy of each."""
    return weight(setup) > compute(setup)


def autocasts(setup: Setup) -> bool:
    """Whether autocast's list for GPUs decides what is computed in fp32.

    It is on in half precision, unless an engine keeps adapters in half precision and needs none.
    """
    needed = setup.method == "full" or trained(setup) > compute(setup)
    return setup.device == "gpu" and compute(setup) == HALF and needed
