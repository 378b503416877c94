"""What `kubectl get` shows."""

from __future__ import annotations

import pytest

from finetune_api.status import Cost, Display, Phase, Progress, Sizing
from finetune_operator.reconcile.display import display


@pytest.mark.parametrize(
    ("phase", "progress", "shown"),
    [
        ("Starting", Progress(stage="Loading"), Display(progress="Loading")),
        ("Starting", Progress(stage="Loading", percent=40), Display(progress="Loading")),
        ("Training", Progress(stage="Training", percent=42, eta_seconds=90), Display(progress="42%", eta="1m30s")),
        ("Training", Progress(stage="Training", percent=0, loss=1.23449), Display(progress="0%", loss="1.234")),
        ("Suspended", Progress(stage="Training", percent=42, eta_seconds=90), Display(progress="42%")),
        ("Succeeded", Progress(stage="Done", percent=100, loss=0.1), Display(progress="100%", loss="0.1")),
        ("Pending", None, None),
    ],
)
def test_display(phase: Phase, progress: Progress | None, shown: Display | None) -> None:
    assert display(phase, progress, None, None) == shown


@pytest.mark.parametrize(
    ("phase", "spent", "expected", "shown"),
    [
        ("Pending", None, 3.1, "~$3.10"),
        ("Training", None, 3.1, "~$3.10"),
        ("Training", 0.4567, 3.1, "$0.46"),
        ("Succeeded", 2.5, 3.1, "$2.50"),
        ("Failed", None, 3.1, None),
        ("Training", None, None, None),
    ],
)
def test_money_is_expected_until_some_is_spent(
    phase: Phase, spent: float | None, expected: float | None, shown: str | None
) -> None:
    sizing = Sizing(accelerator="L4", count=1, nodes=1, estimated_cost_usd=expected)
    cost = Cost(gpu_seconds=10, spent_usd=spent) if spent is not None else None
    found = display(phase, None, cost, sizing)
    assert (found.cost if found is not None else None) == shown
