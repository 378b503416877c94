"""The curve of a run: WORK_DIR/metrics.jsonl, one line per step and evaluation.

It holds nothing that depends on the clock, so that an interrupted run leaves the same file as one that was not. On
resume it is cut back to the checkpoint's step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from finetune_trainer.digests import sync


class MetricsLog:
    """All ranks read it, as they must decide alike; only one of them `writes`."""

    def __init__(self, path: Path, *, writes: bool) -> None:
        self._path = path
        self._writes = writes

    def begin(self, step: int) -> None:
        """Forget every line after `step`. Those of `step` itself stay, and an evaluation isn't written twice."""
        if not self._writes:
            return
        kept = [line for line in self._lines() if line["step"] <= step] if step else []
        temporary = self._path.with_suffix(".new")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        temporary.replace(self._path)

    def append(self, line: dict[str, Any]) -> None:
        """Add one line with at least a `step`, unless the log already has the same.

        What is no finite number, such as the gradient of a step that fp16's scaler skips, is null: JSON has no word.
        """
        if not self._writes:
            return
        if "evalLoss" in line and any("evalLoss" in old and old["step"] == line["step"] for old in self._lines()):
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: _known(value) for name, value in line.items()}) + "\n")

    def sync(self) -> None:
        """Make what was appended survive a power cut, as the checkpoint does that is written next."""
        if self._writes and self._path.exists():
            sync(self._path)

    def losses(self) -> list[float]:
        """Training loss of every step, in order."""
        return [line["loss"] for line in self._lines() if "loss" in line]

    def epochs(self) -> float | None:
        """Passes over the data until the last step; None before the first."""
        last = None
        for line in self._lines():
            last = line.get("epoch", last)
        return last

    def evaluations(self) -> dict[int, float]:
        """Evaluation loss by step; step 0 is the model before training."""
        return {line["step"]: line["evalLoss"] for line in self._lines() if "evalLoss" in line}

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        for text in self._path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(text)
            except json.JSONDecodeError:
                # the process was killed while it wrote this line, which is the last
                return


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value
