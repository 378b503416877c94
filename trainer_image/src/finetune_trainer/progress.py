"""Rank 0's word on how far it is: a small file that the supervisor serves, and a line in the log.

The file also says how long silence is normal in the present stage; a supervisor that hears nothing for longer
takes the process for stalled.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from finetune_api.status import Progress, Stage
from finetune_trainer.rundir import write_json

log = logging.getLogger(__name__)

# Seconds of silence that are normal. Loading downloads and reads up to hundreds of GB without a word.
_SILENCE: dict[Stage, float] = {"Loading": 7200, "Training": 1800, "Evaluating": 1800, "Exporting": 7200, "Done": 600}
_STALL_STEPS = 20
"""Times the median step; from the second step on, where that is more than `_STALL_LEAST`."""
_STALL_LEAST = 600.0
"""Seconds: a checkpoint is written between two steps."""
_WRITE_EVERY = 1.0
"""Seconds. Stages and evaluations are written at once."""
_LOG_EVERY = 2.0
"""Seconds between log lines of steps; the curve in metrics.jsonl has all of them."""
_WINDOW = 50
"""Steps over which speed is averaged."""


class Reporter:
    """Writes progress to `path`; None on all ranks but the first, which then say nothing."""

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._now = Progress()
        self._written = float("-inf")
        self._logged = float("-inf")
        self._steps: deque[tuple[float, int]] = deque(maxlen=_WINDOW + 1)
        """When each of the last steps ended (seconds), and the tokens trained until then."""

    def stage(self, stage: Stage, *, max_steps: int | None = None) -> None:
        """A new stage has begun."""
        changes: dict[str, Any] = {"stage": stage}
        if max_steps is not None:
            changes["max_steps"] = max_steps
        self._steps.clear()
        log.info("%s", stage.lower())
        self._update(changes, at_once=True)

    def step(self, *, step: int, max_steps: int, epoch: float, loss: float, learning_rate: float, tokens: int) -> None:
        """An optimizer step has ended. `tokens`: real ones trained by all processes since they started."""
        self._steps.append((self._clock(), tokens))
        seconds, trained = self._steps[-1][0] - self._steps[0][0], self._steps[-1][1] - self._steps[0][1]
        per_step = seconds / (len(self._steps) - 1) if len(self._steps) > 1 else None
        speed = trained / seconds if seconds > 0 else None
        first_or_last = step == max_steps or len(self._steps) == 1
        self._update(
            {
                "step": step,
                "max_steps": max_steps,
                "percent": 100 * step // max_steps,
                "epoch": round(epoch, 4),
                "loss": loss,
                "learning_rate": learning_rate,
                "tokens_per_second": None if speed is None else round(speed, 1),
                "eta_seconds": None if per_step is None else round(per_step * (max_steps - step)),
            },
            at_once=first_or_last,
        )
        if first_or_last or self._clock() - self._logged >= _LOG_EVERY:
            self._logged = self._clock()
            log.info(
                "step %d/%d epoch %.2f loss %.4f lr %.3g%s",
                step,
                max_steps,
                epoch,
                loss,
                learning_rate,
                "" if speed is None else f" {speed:.0f} tokens/s",
            )

    def evaluation(self, loss: float) -> None:
        """An evaluation has ended."""
        log.info("evaluation loss %.4f", loss)
        self._update({"eval_loss": loss}, at_once=True)

    def saving(self) -> None:
        """A checkpoint is being written: until it is whole nothing more is heard, for minutes if the model is large."""
        self._update({}, at_once=True, silence=_SILENCE["Exporting"])

    def heartbeat(self) -> None:
        """Still alive, in the midst of an evaluation or a step."""
        self._update({}, at_once=False)

    def _update(self, changes: dict[str, Any], *, at_once: bool, silence: float | None = None) -> None:
        """Written unless the last time was only just: steps may follow each other quickly."""
        if self._path is None:
            return
        self._now = self._now.model_copy(update={**changes, "last_heartbeat_time": datetime.now(UTC)})
        if not at_once and self._clock() - self._written < _WRITE_EVERY:
            return
        self._written = self._clock()
        write_json(self._path, {"progress": self._now.to_json(), "silenceSeconds": silence or self._silence()})

    def _silence(self) -> float:
        stage = self._now.stage or "Loading"
        if stage != "Training" or len(self._steps) < 3:
            # the first steps may compile kernels
            return _SILENCE[stage]
        ends = [end for end, _ in self._steps]
        median = statistics.median(after - before for before, after in pairwise(ends))
        return max(_STALL_LEAST, _STALL_STEPS * median)
