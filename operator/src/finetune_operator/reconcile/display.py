"""What `kubectl get` shows of a job: the numbers of its status, as people write them."""

from __future__ import annotations

from finetune_api.status import Cost, Display, Phase, Progress, Sizing
from finetune_operator.duration import duration

_LIVE: frozenset[Phase] = frozenset({"Starting", "Training", "Evaluating", "Exporting"})
RESTING: frozenset[Phase] = frozenset({"Pending", "Queued", "Suspended", "Succeeded", "Failed"})
"""Phases in which no trainer runs."""


def display(phase: Phase, progress: Progress | None, cost: Cost | None, sizing: Sizing | None) -> Display | None:
    """The columns that have something to show; None: none has."""
    progress = progress or Progress()
    shown = Display(
        progress=_how_far(phase, progress),
        eta=duration(progress.eta_seconds) if phase == "Training" and progress.eta_seconds is not None else None,
        loss=f"{progress.loss:.4g}" if progress.loss is not None else None,
        cost=_money(phase, cost, sizing),
    )
    return shown if shown != Display() else None


def at_rest(progress: Progress | None) -> Progress | None:
    """What still holds when no trainer runs: how far it came, and not how fast it was or when it would have ended."""
    if progress is None:
        return None
    return progress.model_copy(update={"tokens_per_second": None, "eta_seconds": None})


def _how_far(phase: Phase, progress: Progress) -> str | None:
    if phase in _LIVE and progress.stage not in (None, "Training", "Done"):
        return progress.stage
    return f"{progress.percent}%" if progress.percent is not None else None


def _money(phase: Phase, cost: Cost | None, sizing: Sizing | None) -> str | None:
    """What was spent; before anything was, what is expected."""
    if cost is not None and cost.spent_usd is not None:
        return f"${cost.spent_usd:.2f}"
    if sizing is None or sizing.estimated_cost_usd is None or phase in ("Succeeded", "Failed"):
        return None
    return f"~${sizing.estimated_cost_usd:.2f}"
