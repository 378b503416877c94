"""The device of this process, as a value."""

from __future__ import annotations

import importlib.util
import re

import torch

from finetune_api.contract import Outcome, TrainerConfig
from finetune_trainer.failure import Failure
from finetune_trainer.settings import Device


def peak_memory() -> str | None:
    """What this process took of its GPU at most, in GiB: its tensors, and all that was reserved for them."""
    if not torch.cuda.is_available():
        return None
    allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return f"{allocated / (1 << 30):.3f} GiB, reserved {reserved / (1 << 30):.3f} GiB"


def detect(config: TrainerConfig, *, local_rank: int) -> Device:
    """What `config.accelerator` names.

    Raises TRANSIENT where a GPU was promised and there is none to be seen, BAD_CONFIG for one that is too old.
    """
    if config.accelerator == "cpu":
        return Device(kind="cpu", name="a CPU")
    if not torch.cuda.is_available():
        raise Failure(
            Outcome.TRANSIENT,
            "NoGPU",
            f"no usable GPU was given: {_why_none()}; check the node's driver (CUDA {torch.version.cuda} needs one as "
            "new as it) and its device plugin",
        )
    if local_rank >= torch.cuda.device_count():
        raise Failure(
            Outcome.TRANSIENT,
            "NoGPU",
            f"process {local_rank + 1} of {config.processes} has no GPU: {torch.cuda.device_count()} can be seen; "
            "check what the node's device plugin gives (of MIG slices a process sees one)",
        )
    torch.cuda.set_device(local_rank)
    properties = torch.cuda.get_device_properties(local_rank)
    refuse_too_old(properties.name, (properties.major, properties.minor), built_for=torch.cuda.get_arch_list())
    return Device(
        kind="cuda",
        name=properties.name,
        capability=(properties.major, properties.minor),
        memory_bytes=properties.total_memory,
        flash_attention_2=importlib.util.find_spec("flash_attn") is not None,
        flash_attention_3=importlib.util.find_spec("flash_attn_interface") is not None,
        liger=importlib.util.find_spec("liger_kernel") is not None,
    )


def refuse_too_old(name: str, capability: tuple[int, int], *, built_for: list[str]) -> None:
    """Raises BAD_CONFIG where torch was built for newer GPUs alone (`built_for`: sm_75, sm_100a and so on).

    It would say so at the first kernel, as an error of CUDA's. AMD's GPUs (gfx942) have no such order.
    """
    oldest = min((int(re.sub(r"\D", "", each)) for each in built_for if each.startswith("sm_")), default=0)
    if 10 * capability[0] + capability[1] < oldest:
        raise Failure(
            Outcome.BAD_CONFIG,
            "GPUTooOld",
            f"{name} has compute capability {capability[0]}.{capability[1]}, and torch {torch.__version__} runs from "
            f"{oldest // 10}.{oldest % 10} on; choose another GPU in spec.resources, or an image with an older torch",
        )


def _why_none() -> str:
    """What CUDA says when it is asked for a device; `is_available` keeps it to itself."""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return str(error).strip().splitlines()[0]
    return "torch finds no CUDA device"
