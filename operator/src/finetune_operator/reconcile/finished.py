"""A job that has ended: nothing of it changes any more, until its time to live is over."""

from __future__ import annotations

from datetime import timedelta

from finetune_api.conditions import Type
from finetune_api.status import TERMINAL_PHASES
from finetune_operator.reconcile.draft import Draft, Step
from finetune_operator.reconcile.ended import job_end


def finished(draft: Draft) -> Step:
    """Keep the status as it is (its conditions carry the new generation) and wait for the end of its time to live."""
    if not over(draft):
        return Step.GO_ON
    remove_unfinished_jobs(draft)
    ttl = draft.job.spec.ttl_seconds_after_finished
    if ttl is not None and draft.completion_time is not None:
        end = draft.completion_time + timedelta(seconds=ttl)
        if draft.now >= end:
            draft.delete_job = True
        else:
            draft.again_at(end)
    return Step.DONE


def over(draft: Draft) -> bool:
    """Whether the job has ended. Either sign is enough: one may be unreadable, and a job must not be trained twice."""
    if draft.phase not in TERMINAL_PHASES:
        if draft.conditions.is_true(Type.COMPLETE):
            draft.phase = "Succeeded"
        elif draft.conditions.is_true(Type.FAILED):
            draft.phase = "Failed"
    return draft.phase in TERMINAL_PHASES


def remove_unfinished_jobs(draft: Draft) -> None:
    """Delete the Jobs of attempts that are over as far as we are concerned: their pods would hold their GPUs."""
    over = {attempt.number for attempt in draft.attempts if attempt.finish_time is not None}
    for number, child in draft.child_jobs().items():
        if (number in over or draft.phase in TERMINAL_PHASES) and job_end(child) is None:
            draft.remove("Job", child)
    inspecting = draft.inspect_job()
    if draft.phase in TERMINAL_PHASES and inspecting is not None and job_end(inspecting) is None:
        draft.remove("Job", inspecting)
