"""What follows when an attempt has ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_api.contract import Outcome
from finetune_api.status import Attempt
from finetune_operator.reconcile.retry import OUTCOMES, Action, Cause, after, backoff, read_outcome


def attempts(*outcomes: str, micro: int = 4) -> list[Attempt]:
    return [
        Attempt(number=n, job_name=f"job-a{n}", outcome=outcome, micro_batch_size=micro)
        for n, outcome in enumerate(outcomes, 1)
    ]


@pytest.mark.parametrize(
    ("outcome", "used", "limit", "action"),
    [
        (Outcome.SUCCEEDED, 0, 1, Action.FINISH),
        (Outcome.SUCCEEDED, 3, 4, Action.FINISH),
        (Outcome.BAD_DATA, 0, 4, Action.STOP),
        (Outcome.NOT_FOUND, 0, 4, Action.STOP),
        (Outcome.PERMISSION, 0, 4, Action.STOP),
        (Outcome.BAD_CONFIG, 0, 4, Action.STOP),
        (Outcome.DIVERGED, 0, 4, Action.STOP),
        (Outcome.UNAVAILABLE, 0, 4, Action.RETRY),
        (Outcome.INTERNAL, 2, 4, Action.RETRY),
        (Outcome.INTERNAL, 3, 4, Action.STOP),  # the fourth of four
        (Outcome.TRANSIENT, 0, 1, Action.STOP),
        (Outcome.STALLED, 0, 4, Action.RETRY),
        (Outcome.OUT_OF_GPU_MEMORY, 0, 4, Action.ADAPT),
        (Outcome.OUT_OF_GPU_MEMORY, 3, 4, Action.STOP),
        (Outcome.INTERRUPTED, 9, 4, Action.RESUME),  # disruptions never count
        (Cause.NODE_LOST, 9, 4, Action.RESUME),
        (Cause.HOST_OUT_OF_MEMORY, 0, 4, Action.RETRY),
        (Cause.KILLED, 0, 4, Action.RETRY),
        (Cause.START_TIMEOUT, 0, 4, Action.STOP),
        (Cause.IMAGE_PULL, 0, 4, Action.STOP),
        (Cause.DEADLINE, 0, 4, Action.STOP),
        (Cause.DELETED, 0, 4, Action.RETRY),
        (Cause.TOO_MANY_INTERRUPTIONS, 0, 4, Action.RETRY),
        (Cause.UNKNOWN, 3, 4, Action.STOP),
    ],
)
def test_after(outcome: Outcome | Cause, used: int, limit: int, action: Action) -> None:
    assert after(attempts(*[Outcome.INTERNAL] * used, outcome), limit=limit, patience=3).action is action


def test_every_outcome_has_a_verdict() -> None:
    assert set(OUTCOMES) == {*Outcome, *Cause}


def test_one_sequence_cannot_be_halved() -> None:
    verdict = after(attempts(Outcome.OUT_OF_GPU_MEMORY, micro=1), limit=4, patience=3)
    assert verdict.action is Action.STOP
    assert "one sequence at a time already" in verdict.why


def test_disruptions_between_failures_do_not_count() -> None:
    history = attempts("Internal", "NodeLost", "NodeLost", "NodeLost", "Internal")
    assert after(history, limit=3, patience=9).action is Action.RETRY
    assert after(history, limit=2, patience=9).action is Action.STOP


@pytest.mark.parametrize(
    ("history", "action"),
    [
        ([("NodeLost", None)] * 2, Action.RESUME),
        ([("NodeLost", None)] * 3, Action.STOP),
        ([("NodeLost", 5), ("NodeLost", 5), ("NodeLost", 5)], Action.RESUME),  # the first of them came somewhere
        ([("NodeLost", 5), ("NodeLost", 5), ("NodeLost", None), ("NodeLost", 5)], Action.STOP),
        ([("NodeLost", 5), ("NodeLost", 5), ("NodeLost", 9), ("NodeLost", 9)], Action.RESUME),
        ([("NodeLost", None), ("NodeLost", None), ("Internal", None), ("NodeLost", None)], Action.RESUME),
    ],
)
def test_what_costs_nothing_is_bounded_where_it_leads_nowhere(
    history: list[tuple[str, int | None]], action: Action
) -> None:
    ended = [
        Attempt(number=n, job_name=f"job-a{n}", outcome=outcome, furthest_step=step)
        for n, (outcome, step) in enumerate(history, 1)
    ]
    assert after(ended, limit=4, patience=3).action is action


@pytest.mark.parametrize(("ended", "seconds"), [(1, 10), (2, 20), (3, 40), (7, 600), (90, 600)])
def test_backoff_doubles_up_to_ten_minutes(ended: int, seconds: int) -> None:
    assert backoff(attempts(*["Internal"] * ended)) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("Diverged", Outcome.DIVERGED), ("Killed", Cause.KILLED), ("New", Cause.UNKNOWN), (None, Cause.UNKNOWN)],
)
def test_outcomes_of_other_versions_are_unknown(text: str | None, outcome: Outcome | Cause) -> None:
    assert read_outcome(text) is outcome
