from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api import manifest
from finetune_api.job import FineTuneJob
from finetune_api.status import Sizing
from finetune_operator.local.machine import Machine
from finetune_operator.local.place import Device, Place, configured, require_support, sized
from finetune_operator.local.run_error import RunError


def job(path: Path, *edits: tuple[str, str]) -> FineTuneJob:
    text = path.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return manifest.parse(text, file="job.yaml")


def place(path: Path, **mounts: Path) -> Place:
    return Place(work=path.parent / "work", job_folder=path.parent, mounts=mounts)


def on_cpu(it: FineTuneJob, here: Place) -> Sizing:
    return sized(it, "cpu", here, machine=Machine)


def test_relative_files_start_from_the_job_file(job_file: Path) -> None:
    it = job(job_file)
    config = configured(it, place(job_file), sizing=on_cpu(it, place(job_file)), attempt=1, micro_batch_size=4)
    assert config.model.source.path == str(job_file.parent / "model")
    assert config.model.source.uri == "file://model"
    assert config.dataset.train.path == str(job_file.parent / "train.jsonl")
    assert config.output.uri == f"file://{job_file.parent / 'work' / 'output'}"
    assert config.port == 0


def test_a_mounted_claim_is_a_folder(job_file: Path) -> None:
    it = job(job_file, ("file://model", "pvc://data/model"))
    here = place(job_file, data=job_file.parent)
    config = configured(it, here, sizing=on_cpu(it, here), attempt=1, micro_batch_size=4)
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
        configured(it, place(job_file), sizing=on_cpu(it, place(job_file)), attempt=1, micro_batch_size=4)
    assert error.value.code == code
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("asked", "device", "gpus", "expected"),
    [
        ("cpu", None, ["NVIDIA L4"], "cpu"),
        ("cpu", "gpu", ["NVIDIA L4"], "nvidia-gpu"),
        ("L4", None, [], "L4"),
        ("L4", "cpu", [], "cpu"),
        ("L4", "gpu", ["NVIDIA L4"], "L4"),
        (None, None, [], "cpu"),
        (None, None, ["NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB"], "A100-80GB"),
        (None, None, ["NVIDIA Z9000"], "nvidia-gpu"),  # of which nothing is known
        (None, "cpu", ["NVIDIA L4"], "cpu"),
    ],
)
def test_the_device(job_file: Path, asked: str | None, device: Device | None, gpus: list[str], expected: str) -> None:
    resources = "resources: {}" if asked is None else f"resources: {{accelerator: {asked}}}"
    it = job(job_file, ("resources: {accelerator: cpu}", resources))
    assert sized(it, device, place(job_file), machine=lambda: Machine(gpus)).accelerator == expected


def test_a_model_that_is_here_is_sized_and_another_is_tried(job_file: Path) -> None:
    here = place(job_file)
    rough = sized(job(job_file), None, here, machine=Machine)
    assert (rough.memory, rough.micro_batch_size) == (None, 8), "the trainer will find what is missing"
    write_config(job_file.parent / "model", LLAMA)
    exact = sized(job(job_file), None, here, machine=Machine)
    assert exact.parameters == 1_235_814_400
    assert exact.memory is not None


def test_what_does_not_fit_is_refused_before_anything_is_loaded(job_file: Path) -> None:
    write_config(job_file.parent / "model", LLAMA | {"num_hidden_layers": 200})
    it = job(job_file, ("resources: {accelerator: cpu}", "resources: {}"))
    with pytest.raises(RunError, match=r"lora of 12\.\dB parameters needs .* GiB") as error:
        sized(it, None, place(job_file), machine=lambda: Machine(["Tesla T4"]))
    assert error.value.code == 78


def write_config(folder: Path, config: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))


LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
    "max_position_embeddings": 131072,
}


def test_what_a_cluster_refuses_is_refused_but_for_files(job_file: Path) -> None:
    require_support(job(job_file))
    with pytest.raises(RunError, match=r"spec\.objective: dpo is not supported") as error:
        require_support(job(job_file, ("method: lora", "method: lora\n  objective: dpo")))
    assert error.value.code == 78
