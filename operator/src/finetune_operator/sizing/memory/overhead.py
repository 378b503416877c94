"""What is there whatever is trained, and what the allocator loses."""

from __future__ import annotations

from finetune_operator.sizing.setup import Setup

MIB = 1 << 20
CONTEXT = {"gpu": 600 * MIB, "cpu": 950 * MIB}
"""A CUDA context with the kernels of torch, cuBLAS and bitsandbytes. On CPUs the resident libraries of a run and what
it keeps of its data: measured, tests/finetune_trainer/test_host_memory.py."""
FRAGMENTATION = 0.04
"""Of what is allocated: rounding to 512 bytes and 2 MiB, and gaps between blocks of different sizes.

The trainer's expandable segments keep it small; older engines, with segments of a fixed size, lose more.
"""


def context(setup: Setup) -> int:
    """Bytes that a process takes before its first tensor."""
    return CONTEXT[setup.device]


def fragmentation(setup: Setup, allocated: int) -> int:
    """Bytes that the allocator holds beside what is in use."""
    del setup
    return round(allocated * FRAGMENTATION)
