from __future__ import annotations

import io

import pytest
from rich.console import Console

from finetune_api.status import Progress
from finetune_operator.local.display import LINE_SECONDS, Display, figures


def test_figures() -> None:
    progress = Progress(
        stage="Training",
        step=30,
        max_steps=120,
        percent=25,
        loss=1.23456,
        eval_loss=2.0,
        tokens_per_second=12345.6,
        eta_seconds=65,
    )
    assert figures(progress) == "30/120  25%  loss 1.235  eval 2  12,346 tok/s  ETA 1m5s"
    assert figures(Progress(stage="Loading")) == ""


def test_without_a_terminal_a_line_per_stage_and_now_and_then() -> None:
    said, now = io.StringIO(), 0.0
    with Display(Console(file=said), clock=lambda: now) as display:
        for step in range(1, 11):
            display.show(Progress(stage="Training", step=step, max_steps=10, percent=step * 10))
            now += LINE_SECONDS / 4
        display.show(None)
        display.show(Progress(stage="Exporting", step=10, max_steps=10, percent=100))
    assert said.getvalue().splitlines() == [
        "Training: 1/10  10%",
        "Training: 5/10  50%",
        "Training: 9/10  90%",
        "Exporting: 10/10  100%",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_all_figures_at_any_usual_width(width: int) -> None:
    said = io.StringIO()
    progress = Progress(
        stage="Training",
        step=1000,
        max_steps=2880,
        percent=34,
        loss=0.41871,
        eval_loss=0.34611,
        tokens_per_second=12946,
        eta_seconds=86,
    )
    with Display(Console(file=said, force_terminal=True, width=width)) as display:
        display.show(progress)
    assert figures(progress) in said.getvalue()
