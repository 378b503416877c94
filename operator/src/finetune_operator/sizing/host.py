"""What a run asks of the machine beside its accelerators: host memory, shared memory, disk, and time to save. Pure.

Everything is of the whole pod. Figures that are measured say where; those of GPU processes are bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from finetune_api.status import Host
from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.memory import optimizer, precision, predict, trained
from finetune_operator.sizing.setup import Setup

GIB = 1 << 30
MIB = 1 << 20

PROCESS = 2 * GIB
"""Host memory of one process on a GPU: 0.8 GiB of Python with its libraries (measured), and as a bound 1.2 GiB for
CUDA's and NCCL's side in the host and for pinned batches."""
POD = GIB
"""Of the supervisor (0.1 GiB, measured) and of the processes that tokenise before the model is loaded."""
SPARE = 1.2
"""A pod that goes over its limit is killed, where a GPU's allocator only fails."""
SHARD = 10**9
"""Bytes of weights that are copied to host memory at a time (finetune_trainer: SHARD_SIZE, 1GB)."""
SHARED_MEMORY = 128 * MIB
"""Of /dev/shm for each process beside the first: what NCCL exchanges where GPUs don't reach each other directly.

NVIDIA advises 1 GiB for 8 GPUs (NCCL's user guide, "Troubleshooting", sharing data).
"""

DISK = 125_000_000
"""Bytes a second that a volume takes: what AWS' gp3 gives at its base price, and other clouds' network disks exceed."""
DIGEST = 500_000_000
"""Bytes a second of reading a checkpoint back and of SHA-256."""
LAST_STEP_SECONDS = 30
"""For the optimizer step that is being made when SIGTERM comes."""
LONGEST_GRACE_SECONDS = 3600
"""A node that is drained doesn't wait for longer; an older checkpoint is there then."""

DISK_USED = 0.9
"""Share of a volume that files can fill: ext4 keeps 5% for root, and its tables take the rest."""
SMALL_FILES = 2 * GIB
"""Tokens, logs, the tokenizer's files, caches of compiled kernels."""
STORED = precision.HALF
"""Bytes of a parameter in a published model."""


@dataclass(frozen=True, slots=True)
class HostNeeds:
    """What the pod and its volume must have, at least."""

    memory_bytes: int
    """Memory limit of the pod, with what it has in /dev/shm."""
    shared_memory_bytes: int
    """Of these, /dev/shm."""
    grace_seconds: int
    """From SIGTERM to SIGKILL: the step that is being made, and a checkpoint."""
    storage_bytes: int
    """Size of the work volume."""


def needs(setup: Setup, *, keep: int, nodes: int = 1, downloaded_bytes: int = 0) -> HostNeeds:
    """What a run of `setup` needs that keeps `keep` checkpoints and downloads so many bytes to its volume."""
    shared = _shared_memory(setup, nodes)
    written = checkpoint_bytes(setup)
    stored = (keep + 1) * written + _trained_bytes(setup) + downloaded_bytes + SMALL_FILES
    return HostNeeds(
        memory_bytes=memory_bytes(setup, nodes=nodes),
        shared_memory_bytes=shared,
        grace_seconds=min(LONGEST_GRACE_SECONDS, LAST_STEP_SECONDS + math.ceil(written / DISK + written / DIGEST)),
        storage_bytes=math.ceil(stored / DISK_USED),
    )


def in_gib(found: HostNeeds) -> Host:
    """As status.sizing shows it; whole GiB, rounded up."""
    return Host(
        memory_gib=math.ceil(found.memory_bytes / GIB),
        shared_memory_gib=math.ceil(found.shared_memory_bytes / GIB),
        storage_gib=math.ceil(found.storage_bytes / GIB),
        grace_seconds=found.grace_seconds,
    )


def memory_bytes(setup: Setup, *, nodes: int = 1) -> int:
    """Memory limit of each of the run's pods, one on a node, with what it has in /dev/shm."""
    return math.ceil(_memory(setup, nodes) * SPARE) + _shared_memory(setup, nodes)


def checkpoint_bytes(setup: Setup) -> int:
    """Bytes of one checkpoint: what is trained, and its moments. Sharded or not, they are written once."""
    return _trained_bytes(setup) + round(trained.parameters(setup) * optimizer.per_parameter(setup))


def model_bytes(architecture: Architecture) -> int:
    """Bytes of the base model as it is published: two for each parameter."""
    return architecture.parameters * STORED


def _shared_memory(setup: Setup, nodes: int) -> int:
    return SHARED_MEMORY * (_processes(setup, nodes) - 1)


def _processes(setup: Setup, nodes: int) -> int:
    """Of one pod; on a CPU there is one."""
    return max(1, setup.accelerators // nodes)


def _memory(setup: Setup, nodes: int) -> int:
    """Bytes of host memory at the fullest moment.

    Weights are mapped from their files, and moments from a checkpoint's: what the kernel caches of them goes when
    there is need, and is not counted.
    """
    if setup.device == "cpu":
        return predict(setup).total + POD
    processes = _processes(setup, nodes)
    at_once = max(_loading(setup, processes), _saving(setup), _exporting(setup))
    return PROCESS * processes + POD + _paged(setup, processes) + at_once


def _paged(setup: Setup, processes: int) -> int:
    """Moments that may all be in host memory when the GPUs are full; each process of ddp has its own."""
    if not setup.optimizer.startswith("paged"):
        return 0
    return round(trained.parameters(setup) * optimizer.per_parameter(setup)) * processes


def _loading(setup: Setup, processes: int) -> int:
    """Weights that can't stay mapped, because every process makes others of them before they are sharded.

    Under fp16 these are all: models are published in bf16, and what is trained is held in fp32. Otherwise they are
    experts, published one by one and put together (transformers 5.23, core_model_loading.py, MergeModulelist).
    """
    if setup.sharding != "fsdp" or setup.method == "qlora":
        return 0
    if precision.weight(setup) == STORED and setup.precision != "fp16":
        made = sum(linear.weights for linear in setup.architecture.linears if not linear.module)
    else:
        made = setup.architecture.parameters
    return made * precision.weight(setup) * processes


def _saving(setup: Setup) -> int:
    """The largest tensor of moments, or a shard of weights, on its way from the GPU to a file."""
    return max(min(SHARD, _trained_bytes(setup)), trained.largest_parameter(setup) * precision.FP32)


def _exporting(setup: Setup) -> int:
    """What was sharded is put together in the first process."""
    return _trained_bytes(setup) if setup.sharding == "fsdp" else 0


def _trained_bytes(setup: Setup) -> int:
    return trained.bytes_of(setup, trained.parameters(setup))
