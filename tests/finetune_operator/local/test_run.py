"""`finetune run` as a process, on a trainer that follows a script."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.cli.main import main
from finetune_operator.local import attempts, trainer

Script = Callable[[str], None]


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "NEEDED", ())
    monkeypatch.setattr(attempts, "POLL_SECONDS", 0.02)
    real = attempts.backoff
    monkeypatch.setattr(attempts, "backoff", lambda made: real(made) / 1000)


def run(job_file: Path, *more: str) -> int:
    return main(["run", "-f", str(job_file), "--work", str(job_file.parent / "work"), *more])


def starts(job_file: Path) -> list[dict[str, Any]]:
    path = job_file.parent / "starts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_success_says_how_to_load_it(job_file: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script("succeed")
    assert run(job_file) == 0
    said = capsys.readouterr().out
    assert "PeftModel.from_pretrained(" in said
    assert str(job_file.parent / "model") in said
    assert "sha256:0" in said


def test_a_second_run_of_a_finished_job_starts_nothing(
    job_file: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script("succeed")
    assert run(job_file) == 0
    capsys.readouterr()
    assert run(job_file, "-o", "json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["outcome"] == "Succeeded"
    assert "already done" in err
    assert len(starts(job_file)) == 1


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_batch(job_file: Path, script: Script) -> None:
    script("memory memory succeed")
    assert run(job_file) == 0
    training = [start["training"] for start in starts(job_file)]
    assert [each["microBatchSize"] for each in training] == [8, 4, 2]
    assert {each["effectiveBatchSize"] for each in training} == {16}
    assert [start["job"]["attempt"] for start in starts(job_file)] == [1, 2, 3]
    assert len({start["job"]["uid"] for start in starts(job_file)}) == 1


def test_what_fitted_is_remembered_by_the_next_run(job_file: Path, script: Script) -> None:
    script("memory data succeed")
    assert run(job_file) == 65
    assert run(job_file) == 0
    assert [start["training"]["microBatchSize"] for start in starts(job_file)] == [8, 4, 4]


@pytest.mark.parametrize(
    ("words", "code", "attempts_made"),
    [
        ("data", 65, 1),
        ("transient succeed", 0, 2),
        ("transient transient transient succeed", 75, 3),
        # exit code 0 with no result is no success, whatever it was
        ("silent silent silent succeed", 70, 3),
    ],
)
def test_retries_are_the_operators(job_file: Path, script: Script, words: str, code: int, attempts_made: int) -> None:
    script(words)
    assert run(job_file) == code
    assert len(starts(job_file)) == attempts_made


def test_a_killed_recipe_is_told_in_its_supervisors_words(
    job_file: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script("killed succeed")
    assert run(job_file) == 0
    assert "attempt 1 failed: it was Transient" in "".join(capsys.readouterr())


def test_missing_packages_name_the_extra(
    job_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trainer, "NEEDED", ("no_such_package",))
    assert run(job_file) == 69
    assert "pip install 'finetune-operator[trainer]'" in capsys.readouterr().err
    assert not (job_file.parent / "work").exists()


def test_a_broken_file_is_told_with_its_line(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job_file.write_text(job_file.read_text().replace("method: lora", "method: lroa"))
    assert run(job_file) == 78
    assert f"{job_file} line 6: spec.method" in capsys.readouterr().err


def test_nothing_of_the_operator_or_the_trainer_is_imported() -> None:
    heavy = {
        "kopf",
        "kubernetes",
        "aiohttp",
        "uvloop",
        "prometheus_client",
        "torch",
        "transformers",
        "finetune_trainer",
    }
    code = f"import sys, finetune_operator.cli.run; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def started(job_file: Path) -> subprocess.Popen[str]:
    """The command as a process of its own, once its trainer waits."""
    code = (
        "import sys; from finetune_operator.local import trainer; trainer.NEEDED = ();"
        "from finetune_operator.cli.main import main; sys.exit(main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", "-f", str(job_file), "--work", str(job_file.parent / "work")],
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    await_file(job_file.parent / "waiting")
    return process


def await_file(path: Path) -> None:
    while not path.exists():
        time.sleep(0.02)
    path.unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_a_checkpoint_and_the_same_command_goes_on(
    job_file: Path, script: Script, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    script("wait succeed")
    process = started(job_file)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 82
    assert "go on with the same command: finetune run -f" in err
    assert run(job_file) == 0
    assert len(starts(job_file)) == 2


def test_the_second_signal_kills(job_file: Path, script: Script) -> None:
    script("stubborn")
    process = started(job_file)
    process.send_signal(signal.SIGINT)
    await_file(job_file.parent / "terminated")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL


def test_a_trainer_that_outlives_its_starter_keeps_the_folder(
    job_file: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script("wait")
    process = started(job_file)
    process.kill()
    process.wait()
    try:
        assert run(job_file) == 75
        assert "in use by another run" in capsys.readouterr().err
    finally:
        config = json.loads((job_file.parent / "starts.jsonl").read_text())
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                mine = str(Path(config["workDir"]) / "config.json").encode() in entry.read_bytes()
            except OSError:
                continue
            if mine:
                os.kill(int(entry.parent.name), signal.SIGKILL)
