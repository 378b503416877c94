"""Two jobs with one destination: the older one has it, and a result that lies there is never overwritten."""

from __future__ import annotations

from finetune_operator.destinations import destinations
from finetune_operator.reconcile.conclude import fail
from finetune_operator.reconcile.draft import Draft, Step
from finetune_operator.reconcile.plan import Object


def rivals(draft: Draft) -> Step:
    """Refuse the younger of two. A job that has begun is not asked again: it was there first."""
    if draft.begun:
        return Step.GO_ON
    wanted = set(destinations(draft.seen.job))
    for rival in sorted(draft.seen.rivals, key=_age):
        shared = sorted(wanted & set(destinations(rival)))
        if shared and _goes_first(rival, draft.seen.job):
            name = rival["metadata"]["name"]
            what = "has written its result there" if _phase(rival) == "Succeeded" else "will write its result there"
            message = (
                f"spec.output.destinations: FineTuneJob {name} names {', '.join(shared)} too and {what}; "
                "choose another place"
            )
            fail(draft, "OutputConflict", message)
            return Step.DONE
    return Step.GO_ON


def _goes_first(rival: Object, job: Object) -> bool:
    match _phase(rival):
        case "Failed":
            return False
        case "Succeeded":
            return True
        case _:
            return bool(rival.get("status", {}).get("attempts")) or _age(rival) < _age(job)


def _age(job: Object) -> tuple[str, str]:
    return str(job["metadata"].get("creationTimestamp", "")), str(job["metadata"]["uid"])


def _phase(job: Object) -> str:
    return str((job.get("status") or {}).get("phase", ""))
