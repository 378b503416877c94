"""Events: what changed, for people who read `kubectl describe`. Each is told once, when status changes with it."""

from __future__ import annotations

from finetune_api.conditions import Type
from finetune_api.status import Phase
from finetune_operator.reconcile.draft import Draft
from finetune_operator.reconcile.plan import Event

_SENTENCES: dict[Phase, str] = {
    "Starting": "attempt {number} is starting",
    "Training": "attempt {number} is training",
    "Evaluating": "attempt {number} is evaluating",
    "Exporting": "attempt {number} is writing its outputs",
    "Suspended": "suspended; set spec.suspend to false to go on",
    "Succeeded": "{complete}",
}
# Waiting that somebody may have to end. Other reasons are steps of a normal start.
_QUIET = frozenset(
    {
        "New",
        "NotStarted",
        "Creating",
        "Scheduling",
        "Starting",
        "Training",
        "Inspecting",
        "Suspended",
        "BackOff",
        "EarlierAttempt",
        "Interrupted",
    }
)


def tell(draft: Draft) -> None:
    """Add the events of a changed phase and of what the job newly waits for. Failures and retries tell themselves."""
    attempt = draft.newest
    number, interruptions = (attempt.number, attempt.interruptions or 0) if attempt is not None else (0, 0)
    if draft.phase != draft.before.phase and draft.phase in _SENTENCES:
        sentence = _SENTENCES[draft.phase].format(
            number=number, complete=draft.conditions.of(Type.COMPLETE).message or draft.phase
        )
        # The same phase may come again: after an interruption, a suspension, or in the next attempt.
        about = f"attempt {number}, pod {interruptions}, generation {draft.job.metadata.generation}"
        draft.tell(Event("Normal", draft.phase, sentence, about=about))
    if draft.phase in ("Failed", "Succeeded"):
        return
    for kind in (Type.SIZED, Type.ADMITTED, Type.TRAINED):
        now, before = draft.conditions.of(kind), draft.conditions.before(kind)
        news = before is None or before.reason != now.reason
        if now.status == "False" and now.message and now.reason not in _QUIET and news and not _retried(draft, kind):
            draft.tell(Event("Warning", now.reason, now.message, about=f"attempt {number}"))


def _retried(draft: Draft, kind: Type) -> bool:
    """Trained=False after an attempt has ended says what `Retrying` has told already."""
    newest = draft.newest
    return kind is Type.TRAINED and newest is not None and newest.finish_time is not None
