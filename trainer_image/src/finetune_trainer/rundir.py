"""Files by which the supervisor and the recipe's processes speak to each other, and those that outlive an attempt.

WORK_DIR/run/            of this start only; emptied by the supervisor before the recipe begins
    progress.json        rank 0: `Progress`, and how long silence is normal
    result-RANK.json     each rank: the `Result` it ended with
    ready                rank 0: inputs are on disk and tokenised
    stacks-RANK.txt      each rank: where it stood when it was found stalled
WORK_DIR/inputs.json     revisions pinned at the first start
WORK_DIR/metrics.jsonl   one line per step and evaluation, cut back to the checkpoint on resume
WORK_DIR/checkpoints/    complete checkpoints
WORK_DIR/output/         the verified result
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_api import names
from finetune_api.contract import RESULT_FILE


@dataclass(frozen=True, slots=True)
class WorkDir:
    """Paths under the work directory."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def progress(self) -> Path:
        return self.run / "progress.json"

    def rank_result(self, rank: int) -> Path:
        return self.run / f"result-{rank}.json"

    def stacks(self, rank: int) -> Path:
        return self.run / f"stacks-{rank}.txt"

    @property
    def ready(self) -> Path:
        return self.run / "ready"

    @property
    def inputs(self) -> Path:
        return self.root / "inputs.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.root / names.CHECKPOINT_DIR

    @property
    def output(self) -> Path:
        return self.root / names.OUTPUT_DIR

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def result(self) -> Path:
        return self.root / RESULT_FILE

    @property
    def port(self) -> Path:
        return self.root / "port"

    def begin(self) -> None:
        """Empty the run directory: nothing of an earlier start may count for this one. OSError if it can't be."""
        if self.run.exists():
            shutil.rmtree(self.run)
        self.run.mkdir(parents=True)
        self.result.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Replace `path` in one step: a reader sees the old content or the new, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> Any | None:
    """The content of `path`, or None where there is no such file or it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
