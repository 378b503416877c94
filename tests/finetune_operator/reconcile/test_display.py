"""What `kubectl get` shows."""

from __future__ import annotations

import pytest

from finetune_api.status import Display, Phase, Progress
from finetune_operator.reconcile.display import display, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (45, "45s"), (60, "1m"), (750, "12m30s"), (7500, "2h5m"), (7205, "2h"), (3600 * 76, "3d4h")],
)
def test_duration(seconds: int, text: str) -> None:
    assert duration(seconds) == text


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
    assert display(phase, progress, None) == shown
