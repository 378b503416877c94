"""What the optimizer keeps between steps, and what a step needs for its arithmetic."""

from __future__ import annotations

from finetune_operator.sizing.memory import precision, sharding, trained
from finetune_operator.sizing.setup import Setup

EIGHT_BIT = 2 * (1 + 4 / 256)
"""Bytes a parameter: two moments of 8 bits, with an fp32 scale for 256 of each (arXiv:2110.02861, section 2.1)."""
CHUNK = 1 << 24
"""Elements that StochasticAdamW updates at a time (finetune_trainer/optimizer.py)."""
CHUNK_BYTES = 4 * precision.FP32
"""Of temporaries for each of them: weight, gradient, denominator and its square root."""


def per_parameter(setup: Setup) -> float:
    """Bytes of the moments of one trained parameter.

    AdamW has two (Kingma & Ba 2014, arXiv:1412.6980); 4 bytes each, or 2 where an engine keeps them in the weights'
    bf16.
    """
    if setup.optimizer in ("adamw8bit", "pagedAdamw8bit"):
        return EIGHT_BIT
    return 2 * (precision.HALF if setup.engine.optimizer_precision == "bf16" else precision.FP32)


def states(setup: Setup) -> int:
    """Bytes of all moments on one device that holds all of them.

    Paged moments lie in memory that moves between host and GPU as it is touched (arXiv:2305.14314, section 3): what
    must be there is what one tensor's update touches.
    """
    if setup.device == "gpu" and setup.optimizer in ("pagedAdamw", "pagedAdamw8bit"):
        return round(trained.largest_parameter(setup) * per_parameter(setup))
    return round(trained.parameters(setup) * per_parameter(setup))


def temporaries(setup: Setup) -> int:
    """Bytes of scratch memory of a step.

    StochasticAdamW makes fp32 copies of a chunk. torch's fused AdamW and bitsandbytes' need none. torch's foreach AdamW
    takes the denominators of all parameters at once (torch/optim/adam.py, _multi_tensor_adam), in torch 2.0 with their
    square roots beside them, to which it adds epsilon out of place; its plain one, on CPUs, both of one parameter.
    """
    kernel = setup.engine.optimizer_kernel
    if setup.optimizer == "adamw" and setup.device == "gpu" and kernel != "fused":
        copies = 2 if kernel == "foreach-2.0" else 1
        return sharding.share(setup, round(trained.parameters(setup) * copies * per_parameter(setup) / 2))
    largest = trained.largest_parameter(setup)
    if setup.method == "full" and setup.optimizer == "adamw" and precision.trained(setup) == precision.HALF:
        if setup.engine.optimizer_precision == "bf16":
            return 0
        return min(CHUNK, largest) * CHUNK_BYTES
    if setup.device == "cpu" and setup.optimizer in ("adamw", "pagedAdamw"):
        return 2 * largest * precision.FP32
    return 0
