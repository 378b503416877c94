"""The work volume: one claim per job, kept across attempts, and never another job's."""

from __future__ import annotations

from finetune_api.conditions import Type
from finetune_api.names import JOB_UID_LABEL, work_claim_name
from finetune_operator.children.claim import work_claim
from finetune_operator.reconcile.draft import Draft, is_child, label
from finetune_operator.reconcile.plan import Object


def claim_is_ready(draft: Draft) -> bool:
    """Whether an attempt may use the claim, which is created where there is none. If not, a condition says why."""
    name = work_claim_name(draft.job.metadata.name)
    claim = next((claim for claim in draft.seen.claims if claim["metadata"]["name"] == name), None)
    if claim is None:
        draft.create.append(
            work_claim(draft.job, draft.settings.storage, host=draft.sizing.host if draft.sizing else None)
        )
        return True
    going = bool(claim["metadata"].get("deletionTimestamp"))
    if _is_ours(claim, draft) and not going:
        return True
    draft.phase = "Pending"
    if going or claim["metadata"].get("ownerReferences"):
        _wait(draft, "EarlierJob", f"waiting for PersistentVolumeClaim {name} of an earlier job to be gone")
    else:
        # Kept on purpose (storage.retain): what lies on it is somebody's result.
        message = (
            f"PersistentVolumeClaim {name} holds the result of an earlier job of this name (storage.retain) and is not "
            "used for another: delete it when the result is no longer needed, or give the job another name"
        )
        _wait(draft, "ClaimConflict", message)
        draft.conditions.set(Type.RECONCILING, False, "ClaimConflict", message)
        draft.conditions.set(Type.STALLED, True, "ClaimConflict", message)
    return False


def _is_ours(claim: Object, draft: Draft) -> bool:
    if claim["metadata"].get("ownerReferences"):
        return is_child(claim, draft.job)
    return label(claim, JOB_UID_LABEL) == draft.job.metadata.uid


def _wait(draft: Draft, reason: str, message: str) -> None:
    draft.conditions.set(Type.ADMITTED, False, reason, message)
    if not draft.attempts:
        draft.conditions.set(Type.RECONCILING, True, reason, message)
