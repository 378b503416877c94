"""How the recipe is getting on, seen from outside, and when its silence has lasted too long."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from finetune_api.status import Progress
from finetune_trainer.rundir import read_json

_LOADING_SILENCE = 7200.0
"""Seconds, until the recipe has said how long it may be silent."""


class Pulse:
    """Reads what rank 0 writes. `clock` gives seconds since the epoch, as the heartbeat's time does."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._began = clock()

    def progress(self) -> Progress:
        """The recipe's last word; before its first, that it is loading."""
        return self._read()[0]

    def silence_seconds(self) -> float:
        """Time since the last word."""
        progress, _ = self._read()
        last = progress.last_heartbeat_time.timestamp() if progress.last_heartbeat_time else self._began
        return max(0.0, self._clock() - last)

    def stalled(self) -> str | None:
        """None, or a sentence on what has been silent for too long."""
        progress, limit = self._read()
        silence = self.silence_seconds()
        if silence <= limit:
            return None
        where = f" after step {progress.step}" if progress.step is not None else ""
        stage = (progress.stage or "Loading").lower()
        return f"no sign of life for {silence:.0f} s while {stage}{where}; the limit is {limit:.0f} s"

    def _read(self) -> tuple[Progress, float]:
        content = read_json(self._path)
        if isinstance(content, dict):
            try:
                return Progress.model_validate(content["progress"]), float(content["silenceSeconds"])
            except (KeyError, ValidationError):
                pass
        began = datetime.fromtimestamp(self._began, UTC)
        return Progress(stage="Loading", last_heartbeat_time=began), _LOADING_SILENCE
