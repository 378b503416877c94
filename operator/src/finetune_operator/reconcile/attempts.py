"""Attempts: numbered from 1, never two at a time, each a ConfigMap and a Job that are created and never edited."""

from __future__ import annotations

from finetune_api.conditions import Type
from finetune_api.contract import Outcome
from finetune_api.names import JOB_UID_LABEL
from finetune_api.status import Attempt, Sizing
from finetune_operator.children.config_map import config_map
from finetune_operator.children.job import attempt_job
from finetune_operator.reconcile import retry
from finetune_operator.reconcile.draft import Draft, Step, attempt_of, is_child, label
from finetune_operator.reconcile.ended import job_end
from finetune_operator.reconcile.follow import end_unseen, live_pods
from finetune_operator.reconcile.pin import pinned
from finetune_operator.reconcile.plan import Object
from finetune_operator.reconcile.pod_state import is_live
from finetune_operator.reconcile.resolve import paths_in_cluster, trainer_config
from finetune_operator.reconcile.size import say_sized
from finetune_operator.reconcile.status import read_time
from finetune_operator.reconcile.storage import claim_is_ready
from finetune_operator.sizing.split import halved, with_micro_batch

HISTORY = 120
"""Attempts kept in status; more than all that can count."""


def adopt(draft: Draft) -> Step:
    """Write down attempts that were created before a crash kept us from it."""
    known = {attempt.number for attempt in draft.attempts}
    for number, child in sorted(draft.child_jobs().items()):
        if number > max(known, default=0):
            if draft.live is not None:
                # Its end was never written down, and yet there was a next one: status was lost.
                end_unseen(draft, draft.live)
            _record(draft, number, child)
    return Step.GO_ON


def start(draft: Draft) -> Step:
    """Create the next attempt, when everything that must be gone is gone."""
    if draft.live is not None:
        _restore_config(draft, draft.live)
        return Step.DONE
    if draft.newest is not None and not draft.stood_before(draft.newest):
        return Step.DONE  # first the end is written down: a crash after the next creation would lose it
    if draft.newest is None and draft.sizing != draft.before.sizing:
        return Step.DONE  # first it is written down what everything is made for
    number = draft.newest.number + 1 if draft.newest is not None else 1
    if draft.seen.refusal is not None:
        return _wait(draft, "Refused", draft.seen.refusal)
    if (gone := _left_the_table(draft)) is not None:
        return _wait(draft, "UnknownAccelerator", gone)
    if not claim_is_ready(draft):
        return Step.DONE
    if (left := _left_by_another(draft, number)) is not None:
        return _wait(draft, "EarlierJob", f"waiting for what an earlier job of this name left to be gone: {left}")
    if (busy := _busy(draft)) is not None:
        return _wait(draft, "EarlierAttempt", f"waiting for {busy} of the last attempt to end")
    if draft.newest is not None and draft.newest.finish_time is not None:
        due = draft.newest.finish_time + retry.backoff(draft.attempts)
        if draft.now < due:
            draft.again_at(due)
            return _wait(draft, "BackOff", f"attempt {number} starts at {due:%H:%M:%S} UTC")
    _create(draft, number)
    return Step.DONE


def _create(draft: Draft, number: int) -> None:
    attempt = _record(draft, number, None)
    sizing = draft.sizing
    hardware = draft.seen.hardware.find(sizing.accelerator) if sizing is not None else None
    if sizing is None or hardware is None:
        raise LookupError(f"attempt {number} of {draft.job.metadata.name} has no sizing")
    _create_config(draft, attempt, sizing)
    draft.create.append(
        attempt_job(draft.job, attempt=number, hardware=hardware, sizing=sizing, settings=draft.settings.trainer)
    )
    draft.phase = "Starting"
    draft.conditions.set(Type.RECONCILING, False, "Acted")
    draft.conditions.set(Type.ADMITTED, False, "Creating", f"Job {attempt.job_name} makes its pod")
    draft.conditions.set(Type.TRAINED, False, "Starting")


def _restore_config(draft: Draft, attempt: Attempt) -> None:
    """Make the ConfigMap anew if somebody deleted it: the attempt's next pod could not start without it."""
    if draft.sizing is not None and attempt.number in draft.child_jobs() and draft.seen.refusal is None:
        _create_config(draft, attempt, draft.sizing)


def _create_config(draft: Draft, attempt: Attempt, sizing: Sizing) -> None:
    seen = {child["metadata"]["name"] for child in draft.seen.config_maps if is_child(child, draft.job)}
    if attempt.job_name in seen:
        return
    config = trainer_config(
        draft.job,
        paths=paths_in_cluster(draft.job),
        sizing=sizing,
        attempt=attempt.number,
        micro_batch_size=attempt.micro_batch_size or 1,
    )
    draft.create.append(config_map(draft.job, pinned(config, draft.resolved), sizing=sizing))


def _record(draft: Draft, number: int, child: Object | None) -> Attempt:
    """Add the attempt's record. All of it follows from what is known, so that after a crash it comes out the same."""
    created = read_time(child["metadata"].get("creationTimestamp")) if child is not None else None
    micro = _micro_batch(draft)
    attempt = Attempt(
        number=number, job_name=draft.job_name(number), start_time=created or draft.now, micro_batch_size=micro
    )
    draft.attempts = _shortened([*draft.attempts, attempt])
    draft.start_time = draft.start_time or attempt.start_time
    if draft.sizing is not None:
        draft.sizing = with_micro_batch(draft.sizing, micro, job=draft.job)
        say_sized(draft, draft.sizing)
    return attempt


def _micro_batch(draft: Draft) -> int:
    """Sequences per device: as sized, halved after each attempt that ran out of GPU memory."""
    newest, sizing = draft.newest, draft.sizing
    if newest is None or newest.micro_batch_size is None:
        return (sizing.micro_batch_size if sizing is not None else None) or 1
    if newest.outcome != Outcome.OUT_OF_GPU_MEMORY or sizing is None:
        return newest.micro_batch_size
    return halved(sizing, newest.micro_batch_size, job=draft.job) or 1


def _shortened(attempts: list[Attempt]) -> list[Attempt]:
    """At most HISTORY of them: the oldest that cost the user nothing go first."""
    while len(attempts) > HISTORY:
        attempts.remove(next((each for each in attempts[:-1] if not retry.counts(each)), attempts[0]))
    return attempts


def _left_the_table(draft: Draft) -> str | None:
    """The row of the job's accelerator was taken out of the table after it was sized."""
    if draft.sizing is None or draft.seen.hardware.find(draft.sizing.accelerator) is not None:
        return None
    return (
        f"the hardware table has no {draft.sizing.accelerator} any more, which the job was sized for; give its row "
        "back in the chart's value hardware, or make the job anew"
    )


def _left_by_another(draft: Draft, number: int) -> str | None:
    """A child of an earlier job of the same name that has a name we need, or a pod of it that may still write."""
    name = draft.job_name(number)
    for kind, children in (("Job", draft.seen.jobs), ("ConfigMap", draft.seen.config_maps)):
        for child in children:
            ours = is_child(child, draft.job) and not child["metadata"].get("deletionTimestamp")
            if child["metadata"]["name"] == name and not ours:
                return f"{kind} {name}"
    for pod in draft.seen.pods:
        if label(pod, JOB_UID_LABEL) != draft.job.metadata.uid and is_live(pod) and attempt_of(pod) is not None:
            return f"pod {pod['metadata']['name']}"
    return None


def _busy(draft: Draft) -> str | None:
    """A Job or pod of an attempt before that may still write."""
    for child in draft.child_jobs().values():
        if job_end(child) is None:
            return f"Job {child['metadata']['name']}"
    for pod in live_pods(draft):
        if attempt_of(pod) is not None:
            return f"pod {pod['metadata']['name']}"
    return None


def _wait(draft: Draft, reason: str, message: str) -> Step:
    draft.phase = "Pending"
    draft.conditions.set(Type.ADMITTED, False, reason, message)
    if not draft.attempts:
        draft.conditions.set(Type.RECONCILING, True, reason, message)
    return Step.DONE
