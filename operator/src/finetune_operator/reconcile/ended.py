"""How an attempt ended: from its Job, its last pod, and what the trainer left in the termination message."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_api.contract import OUTCOME_OF_EXIT_CODE, Outcome, Result
from finetune_operator.reconcile.plan import Object
from finetune_operator.reconcile.pod_state import Ended, PodState
from finetune_operator.reconcile.retry import OUTCOMES, Cause
from finetune_operator.reconcile.said import read_result, words
from finetune_operator.reconcile.status import read_time

# The Job controller: "Container trainer for pod NAMESPACE/NAME failed with exit code 80 matching FailJob rule at ..."
_EXIT_CODE = re.compile(r"exit code (\d+)")
# 128 + signal: SIGKILL and SIGTERM, when the trainer did not get to say anything.
KILLED_CODES = (137, 143)


@dataclass(frozen=True, slots=True)
class End:
    """The end of an attempt."""

    outcome: Outcome | Cause
    message: str
    reason: str = ""
    finished: datetime | None = None
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class JobEnd:
    """That a batch/v1 Job has ended, in the Job controller's words."""

    complete: bool
    message: str
    when: datetime | None


def job_end(child: Object) -> JobEnd | None:
    """Whether the Job has ended; None: not yet."""
    conditions: Sequence[Mapping[str, Any]] = (child.get("status") or {}).get("conditions") or ()
    for condition in conditions:
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            return JobEnd(
                complete=condition["type"] == "Complete",
                message=str(condition.get("message") or condition.get("reason") or ""),
                when=read_time(condition.get("lastTransitionTime")),
            )
    return None


def last_pod(end: JobEnd, states: Sequence[PodState]) -> Ended | None:
    """The pod that the Job ended with; None: it is not seen (any more)."""
    ended = [state for state in states if isinstance(state, Ended)]
    if end.complete:
        return next((state for state in reversed(ended) if state.exit_code == 0), None)
    return next((state for state in reversed(ended) if not state.interrupted and state.exit_code != 0), None)


def how_it_ended(end: JobEnd, pod: Ended | None) -> End:
    """The outcome of an attempt whose Job has ended."""
    if end.complete:
        return _success(end, pod)
    return of_pod(pod, when=end.when) if pod is not None else _without_pod(end)


def of_pod(pod: Ended, *, when: datetime | None = None) -> End:
    """What a pod that has failed failed with. `when`: where it doesn't say itself."""
    finished = pod.finished or when
    result = read_result(pod.message)
    outcome = _outcome(pod, result)
    if pod.reason == "OOMKilled":
        # Whatever was written before, the kernel had the last word.
        return End(outcome, OUTCOMES[outcome].why, "OOMKilled", finished)
    if result is not None and result.outcome is outcome:
        return End(outcome, result.message, result.reason, finished, result)
    code = "" if pod.exit_code is None else f" (exit code {pod.exit_code})"
    said = words(pod.message)
    if result is not None and result.outcome is Outcome.SUCCEEDED:
        said = f"its message claims success all the same: {said}"
    message = f"{OUTCOMES[outcome].why}{code}{': ' + said if said else ''}"
    return End(outcome, message, pod.reason, finished)


def _success(end: JobEnd, pod: Ended | None) -> End:
    result = read_result(pod.message) if pod is not None else None
    finished = (pod.finished if pod is not None else None) or end.when
    if result is not None:
        # Also where it says something else: an image whose entry point swallows the exit code did not succeed.
        return End(result.outcome, result.message, result.reason, finished, result)
    # Exit code 0 is a promise that all outputs are verified; only the numbers are lost.
    why = "every output is written and verified, but the trainer's last message was lost; result.json is on the volume"
    return End(Outcome.SUCCEEDED, why, "ResultLost", finished)


def _without_pod(end: JobEnd) -> End:
    code = _EXIT_CODE.search(end.message)
    if code is None:
        return End(Cause.UNKNOWN, end.message or OUTCOMES[Cause.UNKNOWN].why, "", end.when)
    outcome = _of_code(int(code[1]))
    return End(outcome, f"{OUTCOMES[outcome].why} ({end.message})", "", end.when)


def _outcome(pod: Ended, result: Result | None) -> Outcome | Cause:
    if pod.reason == "OOMKilled":
        return Cause.HOST_OUT_OF_MEMORY
    if result is not None and result.outcome is not Outcome.SUCCEEDED:
        return result.outcome
    # A pod that fails without its container was turned away or forgotten by its node.
    return Cause.NODE_LOST if pod.exit_code is None else _of_code(pod.exit_code)


def _of_code(code: int) -> Outcome | Cause:
    if code in KILLED_CODES:
        return Cause.KILLED
    return OUTCOME_OF_EXIT_CODE.get(code, Outcome.INTERNAL)
