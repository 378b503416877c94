"""The recipe within the test's own process: training libraries take longer to import than a tiny model to train."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_api.contract import Result, TrainerConfig
from finetune_trainer import failure, run
from finetune_trainer.failure import Failure
from finetune_trainer.interruption import Interruption
from finetune_trainer.progress import Reporter
from finetune_trainer.rundir import WorkDir


class _StopsAt(Reporter):
    """Asks the recipe to stop, as the signal handler would."""

    def __init__(self, path: Path, interruption: Interruption, stop_at: int | str | None) -> None:
        super().__init__(path)
        self._interruption = interruption
        self._stop_at = stop_at

    def step(self, **values: Any) -> None:
        super().step(**values)
        self._stop_if(values["step"] + 1)

    def stage(self, stage: Any, **values: Any) -> None:
        super().stage(stage, **values)
        self._stop_if(stage)

    def _stop_if(self, now: int | str) -> None:
        if now == self._stop_at:
            self._interruption.requested = True


@dataclass
class Run:
    """One start of the recipe and what it left."""

    work: WorkDir
    result: Result | None = None
    failure: Failure | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)


def start(job: dict[str, Any], *, stop_at: int | str | None = None) -> Run:
    """Run it to its end, or to a SIGTERM just before step `stop_at` (counting from 1) or stage `stop_at`."""
    config = TrainerConfig.model_validate(job)
    work = WorkDir(Path(config.work_dir))
    work.begin()
    interruption = Interruption()
    done = Run(work)
    try:
        done.result = run.recipe(config, work, interruption, _StopsAt(work.progress, interruption, stop_at), rank=0)
    except Exception as error:  # noqa: BLE001 - as main() does
        done.failure = failure.from_exception(error)
    if work.metrics.exists():
        done.curve = [json.loads(line) for line in work.metrics.read_text().splitlines()]
    return done


def losses(done: Run) -> list[float]:
    return [line["loss"] for line in done.curve if "loss" in line]
