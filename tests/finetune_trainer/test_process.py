"""The trainer as a process: exit codes, signals, and what it leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from finetune_api.contract import Outcome
from tests.finetune_trainer.process import launch

pytestmark = [pytest.mark.train, pytest.mark.timeout(600)]

LOAD_WITH_PEFT = """
import json, sys
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer
model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
chat = [{"role": "user", "content": "my parcel"}]
text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
print(json.dumps({"adapters": list(model.peft_config), "new": model.generate(**ids, max_new_tokens=2).shape[1]}))
"""


def get(work: Path, path: str) -> tuple[int, str]:
    port = (work / "port").read_text()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_from_start_to_end(job: dict[str, Any], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    job["output"]["destinations"] = [{"uri": "pvc://models/tickets", "path": str(copy)}]
    trainer = launch(job, tmp_path)
    trainer.until("port", "")
    # long before torch is imported
    assert get(trainer.work, "/healthz")[0] == 200
    assert json.loads(get(trainer.work, "/progress")[1])["stage"] == "Loading"
    trainer.until("run/progress.json", "loss")
    assert "finetune_trainer_stage{" in get(trainer.work, "/metrics")[1]
    assert get(trainer.work, "/else")[0] == 404
    assert trainer.wait() == 0

    result = trainer.result()
    assert result.outcome is Outcome.SUCCEEDED
    here, there = result.outputs
    assert (here.uri, there.uri) == ("pvc://tickets-work/output", "pvc://models/tickets")
    assert here.digest == there.digest
    for folder in (trainer.work / "output", copy):
        manifest = (folder / "finetune-manifest.json").read_bytes()
        assert f"sha256:{hashlib.sha256(manifest).hexdigest()}" == here.digest
        listed = {file["path"]: file for file in json.loads(manifest)["files"]}
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert found == set(listed) | {"finetune-manifest.json"}
        for path, file in listed.items():
            assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == file["sha256"]
        assert sum(file["sizeBytes"] for file in listed.values()) == here.size_bytes

    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_WITH_PEFT, str(copy)], capture_output=True, text=True, check=True
    )
    assert json.loads(loaded.stdout.splitlines()[-1])["adapters"] == ["default"]


def test_sigterm_while_loading(job: dict[str, Any], tmp_path: Path) -> None:
    trainer = launch(job, tmp_path)
    trainer.until("run/progress.json", "Loading")
    trainer.process.send_signal(signal.SIGTERM)
    assert trainer.wait() == 82
    assert trainer.result().step is None


def test_sigterm_at_once(job: dict[str, Any], tmp_path: Path) -> None:
    trainer = launch(job, tmp_path)
    trainer.until("port", "")
    trainer.process.send_signal(signal.SIGTERM)
    assert trainer.wait() == 82


def test_killed_then_terminated_then_done(job: dict[str, Any], tmp_path: Path) -> None:
    """SIGKILL of the recipe, SIGTERM of the trainer, and then a run to the end, with the curve of an unbroken one."""
    job["training"] |= {"epochs": 20}
    job["checkpoint"]["intervalSeconds"] = 1
    trainer = launch(job, tmp_path)
    trainer.until("metrics.jsonl", '"step": 30,')
    os.kill(trainer.recipe_pid(), signal.SIGKILL)
    assert trainer.wait() == 137
    assert trainer.result().reason in ("Killed", "OutOfHostMemory")

    trainer = launch(job, tmp_path)
    trainer.until("metrics.jsonl", '"step": 60,')
    trainer.process.send_signal(signal.SIGTERM)
    assert trainer.wait() == 82
    stopped = trainer.result()
    assert stopped.outcome is Outcome.INTERRUPTED
    assert stopped.step is not None
    assert stopped.step >= 60

    trainer = launch(job, tmp_path)
    assert trainer.wait() == 0
    done = trainer.result()
    assert done.resumed_from_step == stopped.step
    curve = [json.loads(line) for line in (trainer.work / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in curve if "loss" in line] == list(range(1, 121))

    other = job | {"workDir": str(tmp_path / "unbroken")}
    trainer = launch(other, tmp_path)
    assert trainer.wait() == 0
    assert [json.loads(line) for line in (trainer.work / "metrics.jsonl").read_text().splitlines()] == curve
    assert trainer.result().outputs == done.outputs


def test_two_processes_stop_and_go_on(job: dict[str, Any], tmp_path: Path) -> None:
    """DDP: all ranks stop at the same step, and the checkpoint of one run is that of both."""
    job["processes"] = 2
    job["training"] |= {"epochs": 20, "sharding": "ddp"}
    trainer = launch(job, tmp_path)
    trainer.until("metrics.jsonl", '"step": 20,')
    trainer.process.send_signal(signal.SIGTERM)
    assert trainer.wait() == 82
    stopped = trainer.result()
    assert stopped.step is not None
    assert stopped.step >= 20

    trainer = launch(job, tmp_path)
    assert trainer.wait() == 0
    done = trainer.result()
    assert done.resumed_from_step == stopped.step
    assert done.metrics is not None
    assert done.metrics.eval_loss is not None
    curve = [json.loads(line) for line in (trainer.work / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in curve if "loss" in line] == list(range(1, (done.step or 0) + 1))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ('{"contractVersion": 99}', "has contractVersion 99, and this trainer knows 1"),
        ('{"contractVersion": 1, "method": "lora"}', "Field required"),
    ],
)
def test_a_configuration_that_cannot_be_understood(text: str, sentence: str, tmp_path: Path) -> None:
    trainer = launch(text, tmp_path)
    assert trainer.wait() == 78
    assert sentence in trainer.result().message


def test_failures_leave_the_process_with_their_code(job: dict[str, Any], tmp_path: Path) -> None:
    job["model"]["source"] = {"uri": "file:///no/such", "path": "/no/such"}
    trainer = launch(job, tmp_path, HF_TOKEN="hf_verysecretverysecretverysecret")
    assert trainer.wait() == 66
    result = trainer.result()
    assert result.outcome is Outcome.NOT_FOUND
    assert "/no/such" in result.message
