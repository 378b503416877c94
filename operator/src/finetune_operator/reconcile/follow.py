"""What has become of the newest attempt."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from finetune_api.conditions import Type
from finetune_api.names import TRAINER_PORT
from finetune_api.status import Attempt
from finetune_operator.reconcile import fruitless, usage, waiting
from finetune_operator.reconcile.conclude import end_attempt
from finetune_operator.reconcile.draft import Draft, Step
from finetune_operator.reconcile.ended import End, JobEnd, how_it_ended, job_end, last_pod
from finetune_operator.reconcile.plan import Event, Object, Poll
from finetune_operator.reconcile.pod_state import (
    Creating,
    Ended,
    Lost,
    PodState,
    Refused,
    Running,
    Unscheduled,
    is_live,
    pod_state,
)
from finetune_operator.reconcile.progress import follow_progress
from finetune_operator.reconcile.retry import OUTCOMES, Cause
from finetune_operator.reconcile.status import read_time

SETTLE = timedelta(seconds=15)
"""Watches of different kinds run apart: so long one may lag behind the other before absence means that it is gone."""
NO_POD = timedelta(seconds=60)
"""A Job without a pod for so long is held up by something that only its events tell."""


def follow(draft: Draft) -> Step:
    """Bring phase, conditions, progress and the attempt's record up to date. Ended attempts are left to `conclude`."""
    attempt = draft.live
    if attempt is None:
        return Step.GO_ON
    draft.conditions.set(Type.RECONCILING, False, "Acted", "")
    child = draft.child_jobs().get(attempt.number)
    states = [pod_state(pod, draft.seen.nodes) for pod in draft.pods_of(attempt)]
    if child is None:
        return _missing(draft, attempt)
    end = job_end(child)
    if end is not None:
        return _ended(draft, attempt, end, states)
    _record_pods(draft, attempt, child, states)
    over = _live(draft, child, states)
    if over is not None:
        end_attempt(draft, draft.live or attempt, over)
    return Step.GO_ON


def end_unseen(draft: Draft, attempt: Attempt) -> None:
    """End an attempt that was followed by another: as well as can be known now."""
    child = draft.child_jobs().get(attempt.number)
    end = job_end(child) if child is not None else None
    if end is None:
        end_attempt(draft, attempt, End(Cause.UNKNOWN, OUTCOMES[Cause.UNKNOWN].why, finished=draft.now))
        return
    pod = last_pod(end, [pod_state(pod, draft.seen.nodes) for pod in draft.pods_of(attempt)])
    end_attempt(draft, attempt, how_it_ended(end, pod), pod=pod)


def _missing(draft: Draft, attempt: Attempt) -> Step:
    settled = (attempt.start_time or draft.now) + SETTLE
    if draft.now < settled:
        draft.again_at(settled)
        return Step.DONE
    end_attempt(draft, attempt, End(Cause.DELETED, OUTCOMES[Cause.DELETED].why, finished=draft.now))
    return Step.GO_ON


def _ended(draft: Draft, attempt: Attempt, end: JobEnd, states: list[PodState]) -> Step:
    pod = last_pod(end, states)
    settled = (end.when or draft.now) + SETTLE
    if pod is None and draft.now < settled:
        draft.again_at(settled)
        return Step.DONE
    end_attempt(draft, attempt, how_it_ended(end, pod), pod=pod)
    return Step.GO_ON


def _record_pods(draft: Draft, attempt: Attempt, child: Object, states: list[PodState]) -> None:
    # Its phase says so still when a crash came between resuming the Job and writing that down.
    asked = bool(draft.job.spec.suspend) or bool(child["spec"].get("suspend"))
    stopped = asked or draft.before.phase == "Suspended"
    use = usage.follow_pods(attempt, states, now=draft.now, stopped_by_us=stopped)
    usage.book(draft, use.booked)
    draft.replace(attempt, running_time=use.running_time, interruptions=use.interruptions or None)
    lost = use.interruptions - (attempt.interruptions or 0)
    if lost > 0:
        _record_reached(draft, attempt, lost, states)
        message = (
            f"attempt {attempt.number} was interrupted ({use.interruptions} so far); its next pod goes on from the "
            "newest checkpoint"
        )
        draft.tell(Event("Warning", "Interrupted", message, about=f"attempt {attempt.number}"))


def _record_reached(draft: Draft, attempt: Attempt, lost: int, states: list[PodState]) -> None:
    told = draft.progress.step if draft.progress is not None else None
    step = max((step for step in (told, fruitless.saved_step(states)) if step is not None), default=None)
    reached = fruitless.interrupted(attempt, lost, step=step, best=fruitless.furthest(draft.attempts))
    draft.replace(draft.live or attempt, **asdict(reached))


def _live(draft: Draft, child: Object, states: list[PodState]) -> End | None:
    """What the newest pod does; an End where the attempt has to be given up."""
    lost = (draft.live.interruptions_without_progress if draft.live is not None else None) or 0
    if lost >= draft.settings.limits.interruptions_without_progress:
        message = (
            f"{lost} pods in a row were interrupted and came no further than step {fruitless.furthest(draft.attempts)}"
        )
        return End(Cause.TOO_MANY_INTERRUPTIONS, message, finished=draft.now)
    match states[-1] if states else None:
        case None:
            _no_pod(draft, child)
        case Unscheduled() as state:
            waiting.unscheduled(draft, state)
        case Creating() as state:
            return waiting.creating(draft, state)
        case Refused() as state:
            return waiting.refused(draft, state)
        case Running() as state:
            _running(draft, state)
        case Lost() as state:
            waiting.lost(draft, state)
        case Ended() as state if state.interrupted:
            draft.phase = "Starting"
            draft.conditions.set(Type.TRAINED, False, "Interrupted", "the next pod goes on from the newest checkpoint")
        case Ended():
            pass  # its Job says next what that means
    return None


def _no_pod(draft: Draft, child: Object) -> None:
    draft.phase = "Starting"
    attempt = draft.live
    since = _begun(draft, child)
    name = child["metadata"]["name"]
    if since is not None and not child["spec"].get("suspend") and attempt is not None and not attempt.interruptions:
        if draft.now >= since + NO_POD:
            message = f"Job {name} has no pod: kubectl describe job {name} says why, such as a quota"
            draft.conditions.set(Type.ADMITTED, False, "NoPod", message)
            return
        draft.again_at(since + NO_POD)
    draft.conditions.set(Type.ADMITTED, False, "Creating", f"Job {name} makes its pod")
    draft.conditions.set(Type.TRAINED, False, "Starting")


def _begun(draft: Draft, child: Object) -> datetime | None:
    """Since when the Job has had to make a pod: after a suspension its controller counts anew."""
    status = child.get("status") or {}
    held = any(
        each.get("type") == "Suspended" and each.get("status") == "True" for each in status.get("conditions") or ()
    )
    if held or draft.before.phase == "Suspended":
        return draft.now  # being resumed
    begun = read_time(status.get("startTime"))
    return begun or (draft.live.start_time if draft.live is not None else None)


def _running(draft: Draft, pod: Running) -> None:
    draft.conditions.set(Type.ADMITTED, True, "Scheduled", f"on node {pod.node}")
    attempt = draft.live
    if attempt is not None:
        follow_progress(draft, attempt, pod)
    if pod.stopping_by is not None:
        waiting.stopping(draft, pod)
    elif pod.ip:
        draft.poll = Poll(pod.name, pod.ip, TRAINER_PORT)


def live_pods(draft: Draft) -> list[Object]:
    """Pods of the job, of any attempt, that hold their node's resources."""
    return [pod for pod in draft.pods() if is_live(pod)]
