"""`python -m finetune_trainer` as the pod starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_api.contract import CONFIG_ENV, TERMINATION_LIMIT_BYTES, TERMINATION_LOG_ENV, Result


@dataclass
class Trainer:
    """A running trainer."""

    process: subprocess.Popen[str]
    work: Path
    termination_log: Path

    def wait(self) -> int:
        out, _ = self.process.communicate()
        print(out)  # noqa: T201 - pytest shows it where a test fails
        return self.process.returncode

    def result(self) -> Result:
        """From the termination log; result.json must say the same, where there is a work directory."""
        message = self.termination_log.read_bytes()
        assert len(message) <= TERMINATION_LIMIT_BYTES
        result = Result.model_validate_json(message)
        if (self.work / "result.json").exists():
            assert Result.model_validate_json((self.work / "result.json").read_bytes()) == result
        return result

    def until(self, path: str, says: str) -> None:
        """Wait for `says` in a file of the work directory, for as long as the trainer runs."""
        while not (self.work / path).exists() or says not in (self.work / path).read_text():
            assert self.process.poll() is None, self.wait()
            time.sleep(0.02)

    def recipe_pid(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])


def launch(job: dict[str, Any] | str, folder: Path, **environment: str) -> Trainer:
    """Start it on a configuration, or on the text of one."""
    config = folder / "config.json"
    config.write_text(job if isinstance(job, str) else json.dumps(job))
    log = folder / "termination-log"
    log.unlink(missing_ok=True)
    work = Path(job["workDir"]) if isinstance(job, dict) and "workDir" in job else folder / "work"
    process = subprocess.Popen(
        [sys.executable, "-m", "finetune_trainer"],
        env={
            **os.environ,
            CONFIG_ENV: str(config),
            TERMINATION_LOG_ENV: str(log),
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Trainer(process, work, log)
