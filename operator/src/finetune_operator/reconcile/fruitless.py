"""Pods and attempts that are lost for free, again and again, and lead nowhere: free does not mean for ever.

Pods that are evicted or deleted vanish, so status remembers: how far an attempt had come when it was last interrupted,
and how many interruptions in a row came no further than all before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finetune_api.status import Attempt
from finetune_operator.reconcile.pod_state import Ended, PodState
from finetune_operator.reconcile.said import read_result


@dataclass(frozen=True, slots=True)
class Reached:
    """What an interruption changes in its attempt's record."""

    furthest_step: int | None
    interruptions_without_progress: int | None


def furthest(attempts: Iterable[Attempt]) -> int:
    """The furthest step known of any of them; 0: none made a step."""
    return max((attempt.furthest_step or 0 for attempt in attempts), default=0)


def interrupted(attempt: Attempt, times: int, *, step: int | None, best: int) -> Reached:
    """The attempt lost so many pods at `step`, when it and those before had come to `best`."""
    if step is not None and step > best:
        return Reached(step, None)
    return Reached(attempt.furthest_step, (attempt.interruptions_without_progress or 0) + times)


def saved_step(states: Sequence[PodState]) -> int | None:
    """The newest checkpoint that the pods still to be seen speak of."""
    results = [read_result(state.message) for state in states if isinstance(state, Ended)]
    steps = [result.step for result in results if result is not None and result.step is not None]
    return max(steps, default=None)


def in_a_row(ended: Sequence[Attempt], free: Sequence[bool]) -> int:
    """How many attempts, the last ones, were `free` and came no further than those before."""
    best = count = 0
    for attempt, cost_nothing in zip(ended, free, strict=True):
        step = attempt.furthest_step or 0
        count = count + 1 if cost_nothing and step <= best else 0
        best = max(best, step)
    return count
