"""spec.suspend: the hardware is given back after a checkpoint, and taken again when it is false."""

from __future__ import annotations

from finetune_api.conditions import Type
from finetune_operator.reconcile.draft import Draft, Step
from finetune_operator.reconcile.ended import job_end
from finetune_operator.reconcile.follow import live_pods
from finetune_operator.reconcile.plan import Patch, Ref


def suspend(draft: Draft) -> Step:
    """Make the Job's suspend what the user wants. Suspended before the start, there is no Job and no volume at all."""
    wanted = bool(draft.job.spec.suspend)
    _patch(draft, wanted)
    if not wanted:
        draft.conditions.set(Type.SUSPENDED, False, "NotSuspended")
        return Step.GO_ON
    draft.phase = "Suspended"
    draft.poll = None
    draft.conditions.set(Type.RECONCILING, False, "Suspended")
    draft.conditions.set(Type.ADMITTED, False, "Suspended")
    draft.conditions.set(Type.TRAINED, False, "Suspended")
    stopping = live_pods(draft)
    if draft.seen.refusal is not None:
        draft.conditions.set(Type.SUSPENDED, False, "Refused", draft.seen.refusal)
    elif stopping:
        names = ", ".join(pod["metadata"]["name"] for pod in stopping)
        draft.conditions.set(Type.SUSPENDED, False, "Stopping", f"{names} writes a checkpoint and stops")
    else:
        draft.conditions.set(Type.SUSPENDED, True, "Suspended", "nothing runs; set spec.suspend to false to go on")
    return Step.DONE


def _patch(draft: Draft, wanted: bool) -> None:
    attempt = draft.live
    child = draft.child_jobs().get(attempt.number) if attempt is not None else draft.inspect_job()
    if child is None or job_end(child) is not None or bool(child["spec"].get("suspend")) is wanted:
        return
    metadata = child["metadata"]
    draft.patch.append(Patch(Ref("Job", metadata["name"], metadata["uid"]), {"spec": {"suspend": wanted}}))
