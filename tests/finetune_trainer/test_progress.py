"""What rank 0 says, and what is read out of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from finetune_trainer.metrics_log import MetricsLog
from finetune_trainer.progress import Reporter
from finetune_trainer.watch import Pulse


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_speed_and_time_left(tmp_path: Path) -> None:
    clock = Clock()
    reporter = Reporter(tmp_path / "progress.json", clock=clock)
    reporter.stage("Training", max_steps=100)
    for step in range(1, 11):
        clock.now += 2.0
        reporter.step(step=step, max_steps=100, epoch=step / 50, loss=1.0, learning_rate=1e-4, tokens=1000 * step)
    progress = Pulse(tmp_path / "progress.json").progress()
    assert (progress.step, progress.max_steps, progress.percent) == (10, 100, 10)
    assert progress.tokens_per_second == 500.0
    assert progress.eta_seconds == 180


@pytest.mark.parametrize(
    ("seconds_per_step", "limit"),
    [(0.1, 600.0), (120.0, 2400.0)],  # 20 times the median step, and never less than ten minutes
)
def test_how_long_silence_is_normal(tmp_path: Path, seconds_per_step: float, limit: float) -> None:
    clock = Clock()
    reporter = Reporter(tmp_path / "progress.json", clock=clock)
    reporter.stage("Training")
    for step in range(1, 41):
        clock.now += seconds_per_step
        reporter.step(step=step, max_steps=50, epoch=1.0, loss=1.0, learning_rate=1e-4, tokens=step)
    assert json.loads((tmp_path / "progress.json").read_text())["silenceSeconds"] == pytest.approx(limit)


def test_a_checkpoint_may_take_longer_than_steps_do(tmp_path: Path) -> None:
    clock = Clock()
    reporter, pulse = Reporter(tmp_path / "progress.json", clock=clock), Pulse(tmp_path / "progress.json", clock=clock)
    reporter.stage("Training")
    for step in range(1, 5):
        clock.now += 1.0
        reporter.step(step=step, max_steps=50, epoch=1.0, loss=1.0, learning_rate=1e-4, tokens=step)
    reporter.saving()
    assert pulse.stalled() is None
    clock.now += 3600.0
    assert pulse.stalled() is None
    clock.now += 1.0
    reporter.step(step=5, max_steps=50, epoch=1.0, loss=1.0, learning_rate=1e-4, tokens=5)
    assert json.loads((tmp_path / "progress.json").read_text())["silenceSeconds"] == 600.0


def test_a_pulse_without_a_word_is_loading(tmp_path: Path) -> None:
    clock = Clock()
    pulse = Pulse(tmp_path / "progress.json", clock=clock)
    assert pulse.progress().stage == "Loading"
    clock.now = 7000.0
    assert pulse.stalled() is None
    clock.now = 7300.0
    assert pulse.stalled() == "no sign of life for 7300 s while loading; the limit is 7200 s"


def test_other_ranks_are_silent(tmp_path: Path) -> None:
    Reporter(None).stage("Training")
    assert not list(tmp_path.iterdir())


def test_the_curve_is_cut_back(tmp_path: Path) -> None:
    curve = MetricsLog(tmp_path / "metrics.jsonl", writes=True)
    curve.begin(0)
    curve.append({"step": 0, "evalLoss": 3.0})
    for step in (1, 2, 3):
        curve.append({"step": step, "epoch": step / 4, "loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    curve.begin(2)
    assert curve.losses() == [1.0, 2.0]
    assert curve.evaluations() == {0: 3.0}
    assert curve.epochs() == 0.5
    curve.append({"step": 0, "evalLoss": 3.0})
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3
    other_rank = MetricsLog(tmp_path / "metrics.jsonl", writes=False)
    other_rank.begin(0)
    other_rank.append({"step": 3, "loss": 9.0})
    assert other_rank.losses() == [1.0, 2.0]
    curve.begin(0)
    assert curve.losses() == []
    assert curve.epochs() is None


def test_the_curve_is_json_whatever_the_gradient(tmp_path: Path) -> None:
    """That of a step which fp16's scaler skips is infinite, or no number."""
    path = tmp_path / "metrics.jsonl"
    curve = MetricsLog(path, writes=True)
    for norm in (math.inf, math.nan, 0.5):
        curve.append({"step": 1, "loss": 2.0, "gradNorm": norm})
    lines = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    assert [line["gradNorm"] for line in lines] == [None, None, 0.5]
