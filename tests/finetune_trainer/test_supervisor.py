"""The supervisor with small programs in the recipe's place."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SUPERVISE = """
import sys
from pathlib import Path
from finetune_trainer.supervisor import Supervisor, hold_signals
from finetune_trainer.rundir import WorkDir
from finetune_trainer.verdict import termination_message
from finetune_trainer.watch import Pulse

hold_signals()
work = WorkDir(Path(sys.argv[1]))
work.begin()
command = [sys.executable, "-c", Path(sys.argv[2]).read_text(), sys.argv[1]]
verdict = Supervisor(command, processes=int(sys.argv[3]), work=work, pulse=Pulse(work.progress)).run()
sys.stdout.write(verdict.result.model_dump_json(by_alias=True) + "\\n")
sys.exit(verdict.exit_code)
"""
BEGIN = """
import os, signal, sys, time
from pathlib import Path
from finetune_trainer.interruption import Interruption
from finetune_trainer.rundir import WorkDir, write_json
from finetune_trainer.stacks import dump_on_request
work, rank = WorkDir(Path(sys.argv[1])), int(os.environ.get("RANK", "0"))
def end(outcome, code):
    write_json(work.rank_result(rank), {"outcome": outcome, "reason": "R", "message": f"rank {rank}"})
    os._exit(code)
"""


def supervise(tmp_path: Path, recipe: str, *, processes: int = 1) -> tuple[int, dict[str, str], str]:
    (tmp_path / "recipe.py").write_text(BEGIN + textwrap.dedent(recipe))
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISE, str(tmp_path / "work"), str(tmp_path / "recipe.py"), str(processes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_stalled_recipe_shows_its_stacks(tmp_path: Path) -> None:
    recipe = """
        dump_on_request(work.stacks(0))
        progress = {"stage": "Training", "step": 7, "lastHeartbeatTime": "2020-01-01T00:00:00Z"}
        write_json(work.progress, {"progress": progress, "silenceSeconds": 600})
        def stuck_here():
            while True:
                sum(range(1000))
        stuck_here()
    """
    code, result, log = supervise(tmp_path, recipe)
    assert (code, result["outcome"]) == (83, "Stalled")
    assert "while training after step 7; the limit is 600 s" in result["message"]
    assert "in stuck_here" in log


@pytest.mark.parametrize(
    ("recipe", "processes", "code", "message"),
    [
        ('end("Succeeded", 0)', 1, 0, "rank 0"),
        ('end("Succeeded", 0)', 3, 0, "rank 0"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1, 137, "raise resources.memory"),
        ("os.kill(os.getpid(), signal.SIGABRT)", 1, 70, "SIGABRT"),
        # the rank that failed is the cause, and not the one that ends later because of it
        ('end("Diverged", 81) if rank == 1 else (time.sleep(1.5), end("Internal", 70))', 2, 81, "rank 1"),
        # SIGTERM comes to all ranks, even if they have no handler yet, and even where they end well
        (
            "os.kill(os.getppid(), signal.SIGTERM) if rank == 0 else None\ntime.sleep(2); Interruption().install()",
            2,
            82,
            "SIGTERM",
        ),
        ('os.kill(os.getppid(), signal.SIGTERM); time.sleep(1); end("Succeeded", 0)', 1, 82, "SIGTERM"),
    ],
)
def test_ends(tmp_path: Path, recipe: str, processes: int, code: int, message: str) -> None:
    found, result, _ = supervise(tmp_path, recipe, processes=processes)
    assert (found, message in result["message"]) == (code, True), result


@pytest.mark.parametrize(("visible", "seen"), [(None, "0"), ("2,3", "2"), ("", "")])
def test_a_single_process_sees_one_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    recipe = """
        write_json(work.rank_result(rank), {
            "outcome": "BadData", "reason": "R", "message": "sees [" + os.environ["CUDA_VISIBLE_DEVICES"] + "]",
        })
        os._exit(65)
    """
    _, result, _ = supervise(tmp_path, recipe)
    assert result["message"] == f"sees [{seen}]"
