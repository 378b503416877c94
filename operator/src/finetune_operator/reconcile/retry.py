"""What follows when an attempt has ended: one table, outcome -> verdict.

Source of the trainer's outcomes: the exit codes of finetune_api.contract. The rest only the operator can see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, StrEnum

from finetune_api.contract import Outcome
from finetune_api.status import Attempt
from finetune_operator.reconcile import fruitless

FIRST_BACKOFF = timedelta(seconds=10)
LONGEST_BACKOFF = timedelta(minutes=10)


class Cause(StrEnum):
    """How an attempt ended that its trainer can say nothing about."""

    HOST_OUT_OF_MEMORY = "HostOutOfMemory"
    KILLED = "Killed"
    NODE_LOST = "NodeLost"
    START_TIMEOUT = "StartTimeout"
    IMAGE_PULL = "ImagePull"
    DEADLINE = "DeadlineExceeded"
    DELETED = "Deleted"
    TOO_MANY_INTERRUPTIONS = "TooManyInterruptions"
    UNKNOWN = "Unknown"


class Action(Enum):
    """What to do next."""

    FINISH = "finish"
    RESUME = "go on from the checkpoint, at no cost to the user's attempts"
    RETRY = "go on from the checkpoint as it was"
    ADAPT = "go on from the checkpoint with half the micro-batch and twice the accumulation"
    STOP = "fail"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do next, and whether it costs the user one of `retry.maxAttempts`."""

    action: Action
    counts: bool
    why: str
    """Ends up in messages, where nothing better is known."""


OUTCOMES: Mapping[Outcome | Cause, Verdict] = {
    Outcome.SUCCEEDED: Verdict(Action.FINISH, counts=True, why="every output is written and verified"),
    Outcome.BAD_DATA: Verdict(Action.STOP, counts=True, why="the data set cannot be used"),
    Outcome.NOT_FOUND: Verdict(Action.STOP, counts=True, why="the model or the data set was not found"),
    Outcome.UNAVAILABLE: Verdict(Action.RETRY, counts=True, why="a service did not answer"),
    Outcome.INTERNAL: Verdict(Action.RETRY, counts=True, why="the trainer failed in a way that nobody foresaw"),
    Outcome.TRANSIENT: Verdict(Action.RETRY, counts=True, why="a failure that may pass"),
    Outcome.PERMISSION: Verdict(Action.STOP, counts=True, why="access to the model or the data set was denied"),
    Outcome.BAD_CONFIG: Verdict(Action.STOP, counts=True, why="the configuration cannot work"),
    Outcome.OUT_OF_GPU_MEMORY: Verdict(Action.ADAPT, counts=True, why="out of GPU memory"),
    Outcome.DIVERGED: Verdict(Action.STOP, counts=True, why="the loss is not a finite number"),
    Outcome.INTERRUPTED: Verdict(Action.RESUME, counts=False, why="interrupted; a checkpoint was written"),
    Outcome.STALLED: Verdict(Action.RETRY, counts=True, why="no step for much longer than a step takes"),
    Cause.HOST_OUT_OF_MEMORY: Verdict(
        Action.RETRY, counts=True, why="out of host memory; raise spec.resources.memory in a new job"
    ),
    Cause.KILLED: Verdict(Action.RETRY, counts=True, why="the trainer was killed (SIGKILL)"),
    Cause.NODE_LOST: Verdict(Action.RESUME, counts=False, why="the node was lost, or gave the pod up"),
    Cause.START_TIMEOUT: Verdict(Action.STOP, counts=True, why="the container did not start in time"),
    Cause.IMAGE_PULL: Verdict(Action.STOP, counts=True, why="the trainer's image could not be pulled"),
    Cause.DEADLINE: Verdict(Action.STOP, counts=True, why="spec.activeDeadlineSeconds has passed"),
    Cause.DELETED: Verdict(Action.RETRY, counts=True, why="the Job was deleted by somebody else"),
    Cause.TOO_MANY_INTERRUPTIONS: Verdict(
        Action.RETRY, counts=True, why="interrupted again and again, and came no further"
    ),
    Cause.UNKNOWN: Verdict(Action.RETRY, counts=True, why="the attempt ended, and nothing says why"),
}


def read_outcome(text: str | None) -> Outcome | Cause:
    """An outcome as it stands in status; one of another version is an unknown one."""
    for kind in (Outcome, Cause):
        if text in set(kind):
            return kind(text)
    return Cause.UNKNOWN


def after(ended: Sequence[Attempt], *, limit: int, patience: int) -> Verdict:
    """What follows the last of these attempts, of which at most `limit` may count.

    Those that cost nothing are bounded too: `patience` of them in a row may come no further than those before.
    """
    last = ended[-1]
    outcome = read_outcome(last.outcome)
    verdict = OUTCOMES[outcome]
    used = sum(counts(attempt) for attempt in ended)
    if verdict.action is Action.ADAPT and (last.micro_batch_size or 1) <= 1:
        return replace(verdict, action=Action.STOP, why=f"{verdict.why} with one sequence at a time already")
    if verdict.counts and verdict.action in (Action.RETRY, Action.ADAPT) and used >= limit:
        tries = "the only attempt" if limit == 1 else f"all {limit} attempts"
        return replace(verdict, action=Action.STOP, why=f"{verdict.why}; {tries} of spec.retry.maxAttempts used")
    if verdict.action is Action.RESUME:
        lost = fruitless.in_a_row(ended, [_action(attempt) is Action.RESUME for attempt in ended])
        if lost >= patience:
            why = f"{verdict.why}; that was so {lost} times in a row, and the run came no further"
            return replace(verdict, action=Action.STOP, why=why)
    return verdict


def _action(attempt: Attempt) -> Action:
    return OUTCOMES[read_outcome(attempt.outcome)].action


def counts(attempt: Attempt) -> bool:
    """Whether it is one of `retry.maxAttempts`."""
    return OUTCOMES[read_outcome(attempt.outcome)].counts


def backoff(ended: Iterable[Attempt]) -> timedelta:
    """Time between the end of the last attempt and the next: twice as long for each attempt that ended before."""
    doublings = max(0, len(list(ended)) - 1)
    seconds = FIRST_BACKOFF.total_seconds() * 2 ** min(doublings, 16)
    return min(timedelta(seconds=seconds), LONGEST_BACKOFF)
