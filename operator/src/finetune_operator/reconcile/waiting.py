"""What a pod that does not train (yet) waits for, in the words of whoever holds it up."""

from __future__ import annotations

from datetime import datetime, timedelta

from finetune_api.conditions import Type
from finetune_operator.reconcile.draft import Draft
from finetune_operator.reconcile.ended import End
from finetune_operator.reconcile.pod_state import Creating, Lost, Refused, Running, Unscheduled
from finetune_operator.reconcile.retry import Cause

IMAGE_PULL = "ImagePull"
_CLAIM = "persistentvolumeclaim"
"""In the scheduler's sentence: it looks at claims before nodes, and then no accelerator is what is missing."""
OVERDUE = timedelta(seconds=60)
"""After the end of a pod's grace period: the kubelet kills within seconds."""


def unscheduled(draft: Draft, state: Unscheduled) -> None:
    """No node: that may last, and holds nothing."""
    if state.message:
        draft.phase = "Pending"
        draft.conditions.set(Type.ADMITTED, False, "Unschedulable", _waits_for(draft, state.message))
        draft.conditions.set(Type.TRAINED, False, "Unschedulable")
    else:
        draft.phase = "Starting"
        draft.conditions.set(Type.ADMITTED, False, "Scheduling", "the pod waits for the scheduler")
        draft.conditions.set(Type.TRAINED, False, "Starting")


def _waits_for(draft: Draft, scheduler: str) -> str:
    """What the job is to run on, and why the scheduler does not place it there."""
    sizing = draft.sizing
    if sizing is None or sizing.count == 0 or _CLAIM in scheduler.casefold():
        return scheduler
    kind = f"{sizing.count} free {sizing.accelerator} on one node"
    if draft.seen.nodes and not _there(draft, sizing.accelerator):
        return (
            f"waits for {kind}, and no node has any: it starts when there is one; made anew, it is sized for what "
            f"there is then: {scheduler}"
        )
    return f"waits for {kind}: {scheduler}"


def _there(draft: Draft, accelerator: str | None) -> bool:
    """Whether a node has the kind, free or not."""
    row, table = draft.seen.hardware.find(accelerator or ""), draft.seen.hardware
    return row is None or any(row in table.kinds_of_node(node) for node in draft.seen.nodes)


def creating(draft: Draft, state: Creating) -> End | None:
    """A node, and nothing wrong so far. Past the start deadline it is the end of the attempt."""
    _on_node(draft, state.node)
    draft.conditions.set(Type.TRAINED, False, "Starting", f"the container is being created: {look_at(state)}")
    return not_started(draft, state)


def refused(draft: Draft, state: Refused) -> End | None:
    """A node, and the kubelet says why the container does not start. Past the start deadline the GPU is given back."""
    _on_node(draft, state.node)
    reason = reason_of(state)
    message = first_said(draft, Type.TRAINED, reason, state.message)
    draft.conditions.set(Type.TRAINED, False, reason, message)
    return not_started(draft, state, said=message)


def look_at(state: Creating) -> str:
    """Where a volume that another node holds, or a file that there is not, is told of: in events alone."""
    return f"kubectl describe pod {state.name} says what it waits for on node {state.node}"


def reason_of(state: Refused) -> str:
    """The kubelet's own word, and one for all that can be wrong with an image."""
    return IMAGE_PULL if state.image else state.reason


def not_started(draft: Draft, state: Creating | Refused, *, said: str = "") -> End | None:
    """The end of a pod whose container has not started within the start deadline; `said`: why, in the kubelet's words.

    None: there is time left, and the job is looked at again when there is none.
    """
    if not _too_late(draft, state.since):
        return None
    if isinstance(state, Refused):
        cause = Cause.IMAGE_PULL if state.image else Cause.START_TIMEOUT
        return End(cause, said, state.reason, finished=draft.now)
    return End(
        Cause.START_TIMEOUT,
        f"the container on node {state.node} has not started within {_deadline(draft).total_seconds():.0f} s: look "
        "for a Secret, ConfigMap or claim that does not exist (kubectl get events), or for a slow image pull",
        finished=draft.now,
    )


def stopping(draft: Draft, state: Running) -> None:
    """Told to stop. One that outlives its grace period is stuck in the kernel or the kubelet: only people can help."""
    due = (state.stopping_by or draft.now) + OVERDUE
    if draft.now < due:
        draft.again_at(due)
        return
    draft.conditions.set(
        Type.TRAINED,
        False,
        "NotStopping",
        f"pod {state.name} should have ended by {state.stopping_by:%Y-%m-%d %H:%M:%S} UTC and has not: look at node "
        f"{state.node}; the pod is never deleted by force, because it may still write",
    )


def lost(draft: Draft, state: Lost) -> None:
    """Nobody knows whether the trainer still writes: a second one must not be started, and nothing is forced."""
    draft.conditions.set(
        Type.TRAINED,
        False,
        "NodeLost",
        f"node {state.node} does not answer. The run goes on when the node returns, is deleted, or is tainted "
        "node.kubernetes.io/out-of-service; the pod is never deleted by force, because it may still write",
    )


def _on_node(draft: Draft, node: str) -> None:
    draft.phase = "Starting"
    draft.conditions.set(Type.ADMITTED, True, "Scheduled", f"on node {node}")


def _deadline(draft: Draft) -> timedelta:
    return timedelta(seconds=draft.settings.limits.start_deadline_seconds)


def _too_late(draft: Draft, since: datetime | None) -> bool:
    if since is None:
        return False
    end = since + _deadline(draft)
    if draft.now >= end:
        return True
    draft.again_at(end)
    return False


def first_said(draft: Draft, kind: Type, reason: str, message: str) -> str:
    """The kubelet alternates between an error and its back-off, whose numbers change: the first sentence stays."""
    before = draft.conditions.before(kind)
    return before.message if before is not None and before.reason == reason and before.message else message
