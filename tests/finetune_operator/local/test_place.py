from __future__ import annotations

from pathlib import Path

import pytest

from finetune_api import manifest
from finetune_api.job import FineTuneJob
from finetune_operator.local.place import Place, configured, require_support, sized
from finetune_operator.local.run_error import RunError


def job(path: Path, *edits: tuple[str, str]) -> FineTuneJob:
    text = path.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return manifest.parse(text, file="job.yaml")


def place(path: Path, **mounts: Path) -> Place:
    return Place(work=path.parent / "work", job_folder=path.parent, mounts=mounts)


def test_relative_files_start_from_the_job_file(job_file: Path) -> None:
    it = job(job_file)
    config = configured(it, place(job_file), sizing=sized(it, None, gpus=lambda: 0), attempt=1, micro_batch_size=4)
    assert config.model.source.path == str(job_file.parent / "model")
    assert config.model.source.uri == "file://model"
    assert config.dataset.train.path == str(job_file.parent / "train.jsonl")
    assert config.output.uri == f"file://{job_file.parent / 'work' / 'output'}"
    assert config.port == 0


def test_a_mounted_claim_is_a_folder(job_file: Path) -> None:
    it = job(job_file, ("file://model", "pvc://data/model"))
    here = place(job_file, data=job_file.parent)
    config = configured(it, here, sizing=sized(it, None, gpus=lambda: 0), attempt=1, micro_batch_size=4)
    assert config.model.source.path == str(job_file.parent / "model")
    assert config.model.source.uri == "pvc://data/model"


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("file://model", "pvc://data/model", 78, ["spec.model.source", "--mount data=DIR", "file://"]),
        ("file://train.jsonl", "pvc://data/x", 78, ["spec.dataset.train.source", "--mount data=DIR"]),
        ("file://model", "file://other", 66, ["spec.model.source", "other", "does not exist"]),
        (
            "  retry:",
            "  output: {destinations: [{pvc: {claimName: results, path: a}}]}\n  retry:",
            78,
            ["spec.output.destinations[0].pvc", "--mount results=DIR"],
        ),
    ],
)
def test_what_is_nowhere_here(job_file: Path, old: str, new: str, code: int, words: list[str]) -> None:
    it = job(job_file, (old, new))
    with pytest.raises(RunError) as error:
        configured(it, place(job_file), sizing=sized(it, "cpu", gpus=lambda: 0), attempt=1, micro_batch_size=4)
    assert error.value.code == code
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("asked", "device", "gpus", "expected"),
    [
        ("cpu", None, 1, "cpu"),
        ("cpu", "gpu", 1, "nvidia-gpu"),
        ("L4", None, 0, "L4"),
        ("L4", "cpu", 0, "cpu"),
        ("L4", "gpu", 1, "L4"),
        (None, None, 0, "cpu"),
        (None, None, 2, "nvidia-gpu"),
        (None, "cpu", 2, "cpu"),
    ],
)
def test_the_device(job_file: Path, asked: str | None, device: str | None, gpus: int, expected: str) -> None:
    resources = "resources: {}" if asked is None else f"resources: {{accelerator: {asked}}}"
    it = job(job_file, ("resources: {accelerator: cpu}", resources))
    assert sized(it, device, gpus=lambda: gpus).accelerator == expected  # type: ignore[arg-type]


def test_what_a_cluster_refuses_is_refused_but_for_files(job_file: Path) -> None:
    require_support(job(job_file))
    with pytest.raises(RunError, match=r"spec\.objective: dpo is not supported") as error:
        require_support(job(job_file, ("method: lora", "method: lora\n  objective: dpo")))
    assert error.value.code == 78
