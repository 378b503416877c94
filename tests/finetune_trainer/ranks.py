"""The ranks of a recipe as the supervisor starts them, one process each, sharded on CPUs where that is asked for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_api.contract import CONFIG_ENV
from finetune_trainer.rundir import WorkDir
from finetune_trainer.supervisor import _free_port

RECIPE = "finetune_trainer.run"
SHARDED = "tests.finetune_trainer.fsdp_on_cpu"
_ROOT = Path(__file__).parents[2]


@dataclass
class Ranks:
    """Running ranks of one job."""

    work: WorkDir
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def stop_after(self, step: int) -> None:
        """SIGTERM to all, as soon as the step is written down."""
        while not any(line.get("step", 0) >= step for line in self.curve()):
            assert all(process.poll() is None for process in self.processes), self.log()
            time.sleep(0.02)
        for process in self.processes:
            process.send_signal(signal.SIGTERM)

    def wait(self) -> list[int]:
        """Exit codes."""
        return [process.wait() for process in self.processes]

    def curve(self) -> list[dict[str, Any]]:
        path = self.work.metrics
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def losses(self) -> list[float]:
        return [line["loss"] for line in self.curve() if "loss" in line]

    def evaluations(self) -> list[float]:
        return [line["evalLoss"] for line in self.curve() if "evalLoss" in line]

    def log(self) -> str:
        return "\n".join(path.read_text()[-4000:] for path in sorted(self.work.root.glob("rank-*.log")))


def start(job: dict[str, Any], count: int, *, module: str = RECIPE) -> Ranks:
    """Start `count` ranks on a configuration."""
    work = WorkDir(Path(job["workDir"]))
    work.begin()
    config = work.root / "config.json"
    config.write_text(json.dumps(job | {"processes": count}))
    environment = {
        **os.environ,
        CONFIG_ENV: str(config),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    if count > 1:
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        environment |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    ranks = Ranks(work)
    for rank in range(count):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {}
        with (work.root / f"rank-{rank}.log").open("wb") as log:
            ranks.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", module], env=environment | own, stdout=log, stderr=subprocess.STDOUT
                )
            )
    return ranks
