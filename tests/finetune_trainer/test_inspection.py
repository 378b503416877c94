"""The recipe that reads the inputs before a GPU is taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_api.contract import Outcome, Result, TrainerConfig
from finetune_trainer import inspection
from finetune_trainer.failure import Failure
from finetune_trainer.interruption import Interruption
from finetune_trainer.progress import Reporter
from finetune_trainer.rundir import WorkDir
from tests.finetune_trainer import fake_hub
from tests.finetune_trainer.conftest import rows, write_rows
from tests.finetune_trainer.process import launch

pytestmark = pytest.mark.train

COMMIT = "c0ffee00" * 5


def inspect(job: dict[str, Any]) -> Result:
    """In the test's own process."""
    config = TrainerConfig.model_validate(job | {"task": "inspect"})
    work = WorkDir(Path(config.work_dir))
    work.begin()
    return inspection.recipe(config, work, Interruption(), Reporter(work.progress), rank=0)


def test_the_tiny_model_and_its_rows(job: dict[str, Any], tiny_model: Path) -> None:
    result = inspect(job)
    found = result.inspection
    assert (result.outcome, result.reason) == (Outcome.SUCCEEDED, "Inspected")
    assert found is not None
    assert found.rows is not None
    assert found.validation_rows is not None
    assert found.rows + found.validation_rows == 64
    assert found.lost_tokens == 0
    assert found.estimated is False
    assert found.format == "messages"
    assert found.max_sequence_length == 128
    assert found.model_bytes == (tiny_model / "model.safetensors").stat().st_size
    keys = found.model_keys()
    assert keys is not None
    assert (keys["model_type"], keys["hidden_size"], keys["num_hidden_layers"]) == ("llama", 64, 2)


def test_as_the_pod_runs_it(job: dict[str, Any], tmp_path: Path) -> None:
    trainer = launch(job | {"task": "inspect"}, tmp_path)
    assert trainer.wait() == 0
    assert trainer.result().inspection == inspect(job).inspection
    assert not (trainer.work / "checkpoints").exists()
    assert not (trainer.work / "inputs.json").exists()


@pytest.mark.parametrize(
    ("change", "outcome", "says"),
    [
        ({"dataset": {"train": {"path": "/nowhere.jsonl"}}}, Outcome.NOT_FOUND, "nowhere.jsonl"),
        ({"model": {"source": {"path": "/nowhere"}}}, Outcome.NOT_FOUND, "no such folder"),
        ({"training": {"maxSequenceLength": 4096}}, Outcome.BAD_CONFIG, "256 positions"),
        ({"dataset": {"format": "alpaca"}}, Outcome.BAD_DATA, "row 1 of train.jsonl"),
    ],
)
def test_what_training_would_stumble_over(
    job: dict[str, Any], change: dict[str, Any], outcome: Outcome, says: str
) -> None:
    with pytest.raises(Failure, match=says) as caught:
        inspect(merged(job, change))
    assert caught.value.outcome is outcome


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return base | {k: merged(base.get(k, {}), v) if isinstance(v, dict) else v for k, v in change.items()}


def test_of_many_files_the_first_are_read_and_the_rest_is_estimated(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(4):
        write_rows(folder / f"part-{number}.jsonl", rows(50, seed=1))
    job["dataset"] |= {"train": {"uri": "pvc://data/parts", "path": str(folder)}, "validationFraction": None}
    exact = inspect(job).inspection
    monkeypatch.setattr(inspection, "FILE_BYTES", 2 * (folder / "part-0.jsonl").stat().st_size)
    half = inspect(job).inspection
    assert exact is not None
    assert half is not None
    assert (exact.rows, exact.estimated) == (200, False)
    assert (half.rows, half.tokens, half.estimated) == (200, exact.tokens, True)


def test_a_full_disk_is_no_fault_of_the_job(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise Failure(Outcome.BAD_CONFIG, "DiskFull", "hf://a/b is 9 GiB to download; give spec.storage.size more")

    monkeypatch.setattr("finetune_trainer.sources.fetch_description", full)
    with pytest.raises(Failure, match="the node that reads the inputs") as caught:
        inspect(job)
    assert caught.value.outcome is Outcome.TRANSIENT
    assert "storage.size" not in caught.value.message


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_hub.FakeHub]:
    with fake_hub.running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_of_a_model_on_the_hub_no_weights_are_fetched(
    job: dict[str, Any], tiny_model: Path, hub: fake_hub.FakeHub
) -> None:
    files = {path.name: path.read_bytes() for path in tiny_model.iterdir()}
    hub.repos["models/org/tiny"] = fake_hub.Repo({COMMIT: files}, {"main": COMMIT})
    job["model"]["source"] = {"uri": "hf://org/tiny", "repository": "org/tiny", "revision": "main"}
    result = inspect(job)
    assert result.resolved is not None
    assert result.resolved.model_revision == COMMIT
    assert result.inspection is not None
    assert result.inspection.model_bytes == len(files["model.safetensors"])
    assert not [asked for asked in hub.asked if "safetensors" in asked]


def test_a_model_without_weights_is_refused(job: dict[str, Any], tiny_model: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny_model, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    job["model"]["source"] |= {"path": str(bare)}
    with pytest.raises(Failure, match="no weights"):
        inspect(job)


def test_the_longest_result_fits_into_the_termination_message(job: dict[str, Any], tiny_model: Path) -> None:
    from finetune_trainer.verdict import termination_message

    config = tiny_model / "config.json"
    before = config.read_text()
    noise = {f"some_key_{number}": number for number in range(500)}
    try:
        config.write_text(json.dumps(json.loads(before) | noise))
        result = inspect(job)
    finally:
        config.write_text(before)
    read = Result.model_validate_json(termination_message(result))
    assert read.inspection == result.inspection
    assert read.message == result.message
