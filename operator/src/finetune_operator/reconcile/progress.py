"""How far a running trainer is, and which phase that is."""

from __future__ import annotations

from datetime import timedelta

from finetune_api.conditions import Type
from finetune_api.status import Attempt, Phase, Progress, Stage
from finetune_operator.reconcile.draft import Draft
from finetune_operator.reconcile.pod_state import Running

_PHASES: dict[Stage, Phase] = {
    "Loading": "Starting",
    "Training": "Training",
    "Evaluating": "Evaluating",
    "Exporting": "Exporting",
    "Done": "Exporting",
}
# The container's start has whole seconds, and the heartbeat has not.
ROUNDING = timedelta(seconds=1)


def follow_progress(draft: Draft, attempt: Attempt, pod: Running) -> None:
    """Take over what the trainer said, unless it is what an earlier pod said."""
    seen = draft.seen.progress
    if seen is not None and _is_of(pod, seen):
        before = draft.progress or Progress()
        # While it loads it knows no numbers yet; those of the pod before are where it will go on, nearly.
        draft.progress = (
            seen if seen.stage != "Loading" else before.model_copy(update=_said(seen) | {"eta_seconds": None})
        )
        draft.phase = _PHASES[seen.stage] if seen.stage is not None else "Starting"
    elif not _same_pod_as_before(draft, attempt):
        draft.phase = "Starting"
    trained = draft.phase in ("Evaluating", "Exporting")
    draft.conditions.set(Type.TRAINED, trained, "Trained" if trained else draft.phase)


def _said(progress: Progress) -> dict[str, object]:
    return {name: value for name, value in progress if value is not None}


def _is_of(pod: Running, progress: Progress) -> bool:
    heartbeat = progress.last_heartbeat_time
    return heartbeat is None or heartbeat >= pod.started - ROUNDING


def _same_pod_as_before(draft: Draft, attempt: Attempt) -> bool:
    known = next((each for each in draft.before.attempts or () if each.number == attempt.number), None)
    same = known is not None and known.running_time is not None and known.running_time == attempt.running_time
    return same and draft.before.phase in _PHASES.values()
