"""A checkpoint is whole or absent, whatever happens while it is written."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from finetune_trainer import checkpoint
from finetune_trainer.failure import Failure, from_exception

MADE_WITH = {"training": {"seed": 42}, "method": "lora"}


def write(folder: Path, step: int, *, keep: int = 2) -> None:
    with checkpoint.writing(folder, step, made_with=MADE_WITH, keep=keep) as path:
        (path / "model").write_text(f"weights of step {step}")
        (path / "deep").mkdir()
        (path / "deep" / "optimizer").write_text("moments")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_and_how_many_are_kept(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path, made_with=MADE_WITH) is None
    for step in (2, 9, 10):
        write(tmp_path, step)
    assert names(tmp_path) == ["step-10", "step-9"]
    found = checkpoint.newest(tmp_path, made_with=MADE_WITH)
    assert found is not None
    assert (found.step, found.path.name) == (10, "step-10")


def test_a_full_disk_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write(tmp_path, 1, keep=1)
    monkeypatch.setattr(checkpoint, "sync_folder", full)
    with pytest.raises(OSError, match="No space") as caught:
        write(tmp_path, 2, keep=1)
    assert from_exception(caught.value).reason == "DiskFull"
    assert names(tmp_path) == ["step-1"]


@pytest.mark.parametrize("at", ["digest_folder", "sync_folder"])
def test_killed_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """As SIGKILL leaves it: nothing is cleaned up by the process itself."""
    write(tmp_path, 1)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, at, killed)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 2)
    monkeypatch.undo()
    assert names(tmp_path) == [".incomplete-2", "step-1"]
    found = checkpoint.newest(tmp_path, made_with=MADE_WITH)
    assert found is not None
    assert found.step == 1
    checkpoint.sweep(tmp_path)
    assert names(tmp_path) == ["step-1"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "model").write_text("weights of step 3"),  # as long as the right one
        lambda path: (path / "model").write_text("short"),
        lambda path: (path / "deep" / "optimizer").unlink(),
        lambda path: (path / checkpoint.MANIFEST).unlink(),
        lambda path: (path / checkpoint.MANIFEST).write_text("{"),
        lambda path: (path / checkpoint.MANIFEST).write_text("{}"),
    ],
)
def test_a_damaged_one_is_passed_over(tmp_path: Path, damage: object) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)
    assert callable(damage)
    damage(tmp_path / "step-2")
    found = checkpoint.newest(tmp_path, made_with=MADE_WITH)
    assert found is not None
    assert found.step == 1
    write(tmp_path, 2)
    found = checkpoint.newest(tmp_path, made_with=MADE_WITH)
    assert found is not None
    assert found.step == 2


def test_other_settings_are_told(tmp_path: Path) -> None:
    write(tmp_path, 4)
    other = json.loads(json.dumps(MADE_WITH)) | {"training": {"seed": 7}}
    with pytest.raises(Failure, match=r"step 4 .* training.seed = 42, and this run has 7"):
        checkpoint.newest(tmp_path, made_with=other)
