"""spec.activeDeadlineSeconds: how long a job may be active.

As that of a batch/v1 Job it counts from the start, over all attempts, and anew from the end of a suspension.
"""

from __future__ import annotations

from datetime import timedelta

from finetune_api.conditions import Type
from finetune_operator.reconcile.conclude import end_attempt, fail
from finetune_operator.reconcile.draft import Draft, Step
from finetune_operator.reconcile.ended import End
from finetune_operator.reconcile.retry import Cause


def active_deadline(draft: Draft) -> Step:
    """Fail the job when it is over; look again when it will be."""
    limit = draft.job.spec.active_deadline_seconds
    if limit is None or draft.start_time is None or draft.job.spec.suspend:
        return Step.GO_ON
    suspended = draft.conditions.before(Type.SUSPENDED)
    if suspended is not None and suspended.status == "True":
        return Step.GO_ON  # being resumed: the time begins with what is written now
    since = draft.start_time if suspended is None else max(draft.start_time, suspended.last_transition_time)
    end = since + timedelta(seconds=limit)
    if draft.now < end:
        draft.again_at(end)
        return Step.GO_ON
    message = f"spec.activeDeadlineSeconds: active for {limit} s since {since:%Y-%m-%d %H:%M:%S} UTC"
    live = draft.live
    if live is not None:
        end_attempt(draft, live, End(Cause.DEADLINE, message, finished=draft.now))
    fail(draft, Cause.DEADLINE, message)
    return Step.DONE
