"""What an attempt's pods have used, and how often they were lost. Pods come and go; status remembers.

A running pod is noted in `attempt.runningTime`. When it ends or is replaced its time is booked and the note is gone,
so that nothing is booked twice. A pod that came and went while nobody looked is not booked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.status import Attempt, Cost
from finetune_operator.reconcile.draft import Draft
from finetune_operator.reconcile.pod_state import Ended, Lost, PodState, Running


@dataclass(frozen=True, slots=True)
class Use:
    """What changes in an attempt's record."""

    running_time: datetime | None
    interruptions: int
    booked: timedelta = timedelta()


def follow_pods(attempt: Attempt, states: Sequence[PodState], *, now: datetime, stopped_by_us: bool) -> Use:
    """The record of an attempt that goes on. `stopped_by_us`: suspended, so that losing its pod is no interruption."""
    noted, before = attempt.running_time, attempt.interruptions or 0
    visible = sum(isinstance(state, Ended) and state.interrupted and not state.deleted for state in states)
    running = next((state.started for state in reversed(states) if isinstance(state, Running)), None)
    if noted is None or running == noted or _still_there(noted, states):
        return Use(running if noted is None else noted, max(before, visible))
    ended = next((state for state in states if isinstance(state, Ended) and state.started == noted), None)
    # A Job replaces a pod only when it is gone: where the end was not seen, the next start is near it.
    until = (ended.finished if ended is not None else None) or running or now
    return Use(running, max(before + (0 if stopped_by_us else 1), visible), until - noted)


def _still_there(noted: datetime, states: Sequence[PodState]) -> bool:
    """Whether the noted pod is on a lost node, or has ended in a way that its Job will say was the end."""
    return any(
        (isinstance(state, Lost) and state.started in (noted, None))
        or (isinstance(state, Ended) and state.started == noted and not state.interrupted)
        for state in states
    )


def book_end(draft: Draft, attempt: Attempt, pod: Ended | None, *, finished: datetime) -> None:
    """Book what is still unbooked of an attempt that has ended."""
    started = attempt.running_time or (pod.started if pod is not None else None)
    if started is not None:
        book(draft, (pod.finished if pod is not None and pod.finished is not None else finished) - started)


def book(draft: Draft, time: timedelta) -> None:
    """Add the time of one pod to the job's cost, and its money where a price is known. CPUs are not accounted for."""
    count = draft.sizing.count * draft.sizing.nodes if draft.sizing is not None else 0
    if draft.sizing is None or not count or time <= timedelta():
        return
    seconds = ((draft.cost.gpu_seconds if draft.cost is not None else None) or 0.0) + count * time.total_seconds()
    price = draft.sizing.price_usd_per_hour
    draft.cost = Cost(
        gpu_seconds=round(seconds, 3), spent_usd=None if price is None else round(price * seconds / 3600, 4)
    )
