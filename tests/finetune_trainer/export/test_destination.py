"""Copies: whole, checked, and never over somebody else's."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save_file

from finetune_api.contract import DestinationConfig, JobIdentity
from finetune_trainer.export import artifact, destination
from finetune_trainer.export.artifact import Manifest
from finetune_trainer.failure import Failure

JOB = JobIdentity(namespace="default", name="tickets", uid="uid-1", attempt=1)


def make(folder: Path, *, job: JobIdentity = JOB, value: float = 1.0) -> Manifest:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"a": numpy.full(8, value)}, folder / "adapter_model.safetensors")
    (folder / "README.md").write_text("# card\n")
    return artifact.complete(folder, job=job, kind="adapter")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> DestinationConfig:
    return DestinationConfig(uri="pvc://models/tickets", path=str(tmp_path / "claim" / "tickets"))


def test_a_copy_and_the_same_again(tmp_path: Path, place: DestinationConfig) -> None:
    manifest = make(tmp_path / "output")
    for _ in range(2):
        destination.check(place, job=JOB)
        destination.copy(tmp_path / "output", manifest, place)
        assert names(Path(place.path)) == names(tmp_path / "output")
        artifact.verify(Path(place.path), manifest)


def test_a_later_attempt_replaces_it(tmp_path: Path, place: DestinationConfig) -> None:
    make(tmp_path / "first")
    (tmp_path / "first" / "old.json").write_text("{}")
    first = artifact.complete(tmp_path / "first", job=JOB, kind="adapter")
    destination.copy(tmp_path / "first", first, place)
    second = make(tmp_path / "second", job=JOB.model_copy(update={"attempt": 2}), value=2.0)
    destination.copy(tmp_path / "second", second, place)
    assert names(Path(place.path)) == names(tmp_path / "second")


def test_the_digest_depends_on_content_alone(tmp_path: Path) -> None:
    later = JOB.model_copy(update={"attempt": 7})
    assert make(tmp_path / "a").digest == make(tmp_path / "b", job=later).digest
    assert make(tmp_path / "a").digest != make(tmp_path / "c", value=2.0).digest


def test_another_job_is_never_overwritten(tmp_path: Path, place: DestinationConfig) -> None:
    other = make(tmp_path / "other", job=JOB.model_copy(update={"uid": "uid-2"}))
    destination.copy(tmp_path / "other", other, place)
    with pytest.raises(Failure, match=r"pvc://models/tickets holds the result of another job \(UID uid-2\)"):
        destination.check(place, job=JOB)


def test_other_content_is_never_overwritten(place: DestinationConfig) -> None:
    folder = Path(place.path)
    (folder / "lost+found").mkdir(parents=True)
    destination.check(place, job=JOB)
    (folder / "thesis.doc").write_text("years of work")
    with pytest.raises(Failure, match=r"is not empty: it holds thesis.doc"):
        destination.check(place, job=JOB)


def test_a_copy_that_was_broken_off_is_made_again(tmp_path: Path, place: DestinationConfig) -> None:
    manifest = make(tmp_path / "output")
    (tmp_path / "output" / "README.md").rename(tmp_path / "README.md")
    with pytest.raises(FileNotFoundError):
        destination.copy(tmp_path / "output", manifest, place)
    assert "finetune-manifest.json" not in names(Path(place.path))
    (tmp_path / "README.md").rename(tmp_path / "output" / "README.md")
    destination.check(place, job=JOB)
    destination.copy(tmp_path / "output", manifest, place)
    artifact.verify(Path(place.path), manifest)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "README.md").write_text("# crad\n"), "README.md has another SHA-256"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "is missing"),
        (lambda folder: (folder / artifact.MANIFEST).write_text("{}"), "other content than was written"),
    ],
)
def test_verification_finds(tmp_path: Path, damage: object, says: str) -> None:
    manifest = make(tmp_path)
    artifact.verify(tmp_path, manifest)
    assert callable(damage)
    damage(tmp_path)
    with pytest.raises(Failure, match=says):
        artifact.verify(tmp_path, manifest)


def test_weights_must_be_readable(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\x00" * 64)
    manifest = artifact.complete(tmp_path, job=JOB, kind="adapter")
    with pytest.raises(Failure, match="no safetensors file"):
        artifact.verify(tmp_path, manifest)
