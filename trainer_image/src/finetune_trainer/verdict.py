"""What a run amounts to once its processes have ended. Pure; in a table of its own test."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from finetune_api.contract import EXIT_CODES, TERMINATION_LIMIT_BYTES, Outcome, Result

KILLED_EXIT_CODE = 137
"""128 + SIGKILL: what the kubelet shows too when the kernel kills the whole container for its memory."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one rank ended."""

    rank: int
    status: int
    """Exit code, or minus the number of the signal."""
    result: Result | None
    """What it left behind; None: it had no time to."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the supervisor knows and the ranks don't."""

    terminated: bool = False
    """SIGTERM came."""
    stalled: str | None = None
    """What it was silent about, where it was found stalled."""
    host_oom: bool = False
    """The kernel killed a process of this container for its memory."""
    last_step: int | None = None
    """Of the newest checkpoint."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The pod's end."""

    result: Result
    exit_code: int


def verdict(ended: Sequence[Ended], seen: Circumstances) -> Verdict:
    """`ended` in the order in which the ranks ended: the first that failed by itself is the cause, the rest follow."""
    if seen.stalled is not None:
        return _of(Outcome.STALLED, "Stalled", f"{seen.stalled}; its stacks are in the log", seen)
    failed = [rank for rank in ended if rank.status != 0]
    if not failed:
        return _succeeded(ended, seen)
    for rank in failed:
        if rank.result is not None and rank.result.outcome is not Outcome.SUCCEEDED:
            return Verdict(result=rank.result, exit_code=EXIT_CODES[rank.result.outcome])
    if seen.terminated:
        return _of(Outcome.INTERRUPTED, "Interrupted", _interrupted_at(seen), seen)
    first = failed[0]
    if first.status == -signal.SIGKILL:
        return _killed(first, seen)
    how = f"signal {signal.Signals(-first.status).name}" if first.status < 0 else f"exit code {first.status}"
    return _of(Outcome.INTERNAL, "Crashed", f"rank {first.rank} ended with {how} and left no word; see the log", seen)


def termination_message(result: Result) -> bytes:
    """JSON of at most 4,096 bytes. What is too long is the message: its end is cut off."""
    message = result.message
    while True:
        content = result.model_copy(update={"message": message}).model_dump_json(by_alias=True, exclude_none=True)
        encoded = content.encode()
        if len(encoded) <= TERMINATION_LIMIT_BYTES:
            return encoded
        if not message:
            # many destinations: the result itself is the first of the outputs
            result, message = result.model_copy(update={"outputs": result.outputs[:-1]}), result.message[:200]
            continue
        message = message[: max(0, len(message) - max(1, len(encoded) - TERMINATION_LIMIT_BYTES) // 4 - 1)]


def _succeeded(ended: Sequence[Ended], seen: Circumstances) -> Verdict:
    result = next((rank.result for rank in ended if rank.rank == 0), None)
    if seen.terminated:
        # a pod that exits 0 after SIGTERM would complete its Job while it is being taken away
        return _of(Outcome.INTERRUPTED, "Interrupted", _interrupted_at(seen), seen)
    if result is None or result.outcome is not Outcome.SUCCEEDED:
        return _of(Outcome.INTERNAL, "NoResult", "the recipe ended without an error and without a result", seen)
    return Verdict(result=result, exit_code=0)


def _killed(rank: Ended, seen: Circumstances) -> Verdict:
    if seen.host_oom:
        reason, why = "OutOfHostMemory", "the kernel killed it for using more than the container's memory limit"
    else:
        reason, why = "Killed", "it was killed (SIGKILL), most likely for want of host memory"
    message = f"rank {rank.rank}: {why}; raise resources.memory"
    result = Result(outcome=Outcome.TRANSIENT, reason=reason, message=message, step=seen.last_step)
    return Verdict(result=result, exit_code=KILLED_EXIT_CODE)


def _interrupted_at(seen: Circumstances) -> str:
    if seen.last_step is None:
        return "stopped by SIGTERM before the first checkpoint; the next start begins anew"
    return f"stopped by SIGTERM; the checkpoint of step {seen.last_step} is complete; the next start goes on from there"


def _of(outcome: Outcome, reason: str, message: str, seen: Circumstances) -> Verdict:
    result = Result(outcome=outcome, reason=reason, message=message, step=seen.last_step)
    return Verdict(result=result, exit_code=EXIT_CODES[outcome])
