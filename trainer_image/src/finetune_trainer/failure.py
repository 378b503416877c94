"""What went wrong, in the contract's words: an exception becomes an outcome, a reason and a sentence.

Known causes are told apart here and nowhere else. What nobody foresaw is `Internal`, with the frame it came from.
Torch is not imported: the supervisor uses this module too, and exceptions are told by their names.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from pathlib import Path

from finetune_api.contract import Outcome

_MESSAGE_LIMIT = 1500
"""Characters; `Result.message` takes no more."""
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY$", re.IGNORECASE)
_SECRET_SHAPE = re.compile(r"\bhf_[A-Za-z0-9]{16,}|\bAKIA[0-9A-Z]{16}\b|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
# How allocation failures read that are no torch.OutOfMemoryError: CUDA, NCCL, Triton, cuBLAS, cuDNN and bitsandbytes.
# A cuBLAS that is "not initialized" found no memory for its handle.
_GPU_MEMORY = re.compile(
    r"CUDA out of memory|CUDA (?:driver )?error: out of memory|Cuda failure (?:2 )?'out of memory'"
    r"|Triton Error \[CUDA\]: out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUBLAS_STATUS_NOT_INITIALIZED"
    r"|CUDNN_STATUS_ALLOC_FAILED|CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
    r"|cudaErrorMemoryAllocation|cudaMallocManaged|memory mapping failed with OOM",
    re.IGNORECASE,
)
# safetensors and torch.save wrap the system's ENOSPC in exceptions of their own.
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|PytorchStreamWriter failed", re.IGNORECASE)


class Failure(Exception):  # noqa: N818 - it is the outcome of a run, not an error of the program
    """The end of a run that nobody needs a stack trace for.

    `outcome` decides the exit code, `reason` is one CamelCase word, and `message` says what, where, what to do.
    """

    def __init__(self, outcome: Outcome, reason: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.reason = reason
        self.message = scrub(message)[:_MESSAGE_LIMIT]


def interrupted(step: int | None) -> Failure:
    """After SIGTERM. `step` is the last step that a complete checkpoint holds; None: there is none yet."""
    where = "no step was done yet" if step is None else f"the checkpoint of step {step} is complete"
    return Failure(
        Outcome.INTERRUPTED, "Interrupted", f"stopped by SIGTERM; {where}; the next start goes on from there"
    )


def diverged(what: str, step: int) -> Failure:
    """A loss or a gradient that is no number."""
    return Failure(
        Outcome.DIVERGED,
        "NonFiniteLoss",
        f"{what} at step {step} is not a finite number; lower training.learningRate, "
        "or look for broken rows or weights if it is step 1 already",
    )


def from_exception(error: BaseException) -> Failure:
    """The failure that `error` stands for."""
    if isinstance(error, Failure):
        return error
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, Failure):
            return cause
    for cause in causes:
        known = _known(cause)
        if known is not None:
            return known
    return Failure(Outcome.INTERNAL, type(error).__name__[:64], f"{type(error).__name__}: {error} ({_where(error)})")


def scrub(text: str) -> str:
    """`text` without the values of secrets that this process was given, and without what looks like one."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return _SECRET_SHAPE.sub("***", text)


def _chain(error: BaseException | None) -> list[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return seen


def _known(error: BaseException) -> Failure | None:
    name, text = type(error).__name__, str(error)
    if name == "OutOfMemoryError" or (isinstance(error, RuntimeError) and _GPU_MEMORY.search(text)):
        return Failure(Outcome.OUT_OF_GPU_MEMORY, "OutOfGPUMemory", _memory_sentence(text))
    if "CUDA driver error: operation not supported" in text:
        return Failure(
            Outcome.BAD_CONFIG,
            "NoMemoryMapping",
            "the GPU can't map memory, which torch's expandable segments need, as a vGPU often can't; set "
            "PYTORCH_ALLOC_CONF to expandable_segments:False in spec.podTemplate.env",
        )
    if isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in text:
        return Failure(
            Outcome.TRANSIENT, "OutOfHostMemory", f"the host's memory is used up: {text}; raise resources.memory"
        )
    if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or _DISK_FULL.search(text):
        where = getattr(error, "filename", None) or "the work directory"
        return Failure(
            Outcome.BAD_CONFIG, "DiskFull", f"no space left while writing {where}; give storage.size more: {text}"
        )
    if isinstance(error, KeyboardInterrupt):
        return interrupted(None)
    return _hub(name, text)


def _hub(name: str, text: str) -> Failure | None:
    """Failures of the Hub's client, which are OSErrors and HTTP errors of its own."""
    first = text.strip().splitlines()[0] if text.strip() else name
    if name == "GatedRepoError" or "gated repo" in text:
        return Failure(
            Outcome.PERMISSION,
            "GatedRepository",
            f"{first}; accept its licence on the Hub and name a token in tokenSecretRef that may read it",
        )
    if name in ("RepositoryNotFoundError", "RevisionNotFoundError", "EntryNotFoundError", "LocalEntryNotFoundError"):
        return Failure(Outcome.NOT_FOUND, name.removesuffix("Error"), f"{first}; check source and revision")
    if name in ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ConnectError", "OfflineModeIsEnabled"):
        return Failure(Outcome.UNAVAILABLE, "HubUnavailable", f"the Hub does not answer: {first}")
    return None


def _memory_sentence(text: str) -> str:
    """With the numbers of the allocator where there is a GPU to ask."""
    first = text.strip().splitlines()[0] if text.strip() else "allocation failed"
    return f"out of GPU memory{_memory_numbers()}: {first}; a smaller microBatchSize or maxSequenceLength needs less"


def _memory_numbers() -> str:
    torch = sys.modules.get("torch")
    if torch is None or not (torch.cuda.is_available() and torch.cuda.is_initialized()):
        return ""
    gib = 1 << 30
    try:
        free, total = torch.cuda.mem_get_info()
        peak = torch.cuda.max_memory_allocated()
    except RuntimeError:
        # the failure may have broken the context: without numbers it is still the same failure
        return ""
    return f" (peak {peak / gib:.2f} GiB of {total / gib:.2f} GiB, {free / gib:.2f} GiB free)"


def _where(error: BaseException) -> str:
    """File, line and function that raised, without the path that leads there."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "no frame"
    last = frames[-1]
    return f"{'/'.join(Path(last.filename).parts[-2:])}:{last.lineno} in {last.name}"
