"""A job file with its data beside it, and a trainer that does what a script says instead of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

JOB = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: tickets}
spec:
  model: {source: file://model}
  method: lora
  dataset: {train: {source: file://train.jsonl}}
  training: {packing: false, effectiveBatchSize: 16}
  resources: {accelerator: cpu}
  retry: {maxAttempts: 3}
"""

# The contract's other side, in a page: it takes the next word of the script and does what the word says.
STUB = """
import json, os, pathlib, signal, sys, time

config = json.loads(pathlib.Path(os.environ["FINETUNE_CONFIG"]).read_text())
work = pathlib.Path(config["workDir"])
script = work.parent / "script"
words = script.read_text().split()
script.write_text(" ".join(words[1:]))
with (work.parent / "starts.jsonl").open("a") as starts:
    starts.write(json.dumps(config) + "\\n")


def end(outcome, code, **more):
    result = {"contractVersion": 1, "outcome": outcome, "reason": outcome, "message": f"it was {outcome}", **more}
    pathlib.Path(os.environ["FINETUNE_TERMINATION_LOG"]).write_text(json.dumps(result))
    (work / "result.json").write_text(json.dumps(result))
    sys.exit(code)


match words[0]:
    case "succeed":
        (work / "output").mkdir()
        output = {"kind": "adapter", "uri": "file:///x", "digest": "sha256:0", "sizeBytes": 1000000}
        end("Succeeded", 0, outputs=[output])
    case "memory":
        end("OutOfGPUMemory", 80)
    case "transient":
        end("Transient", 75)
    case "data":
        end("BadData", 65)
    case "killed":
        end("Transient", 137)
    case "silent":
        sys.exit(0)
    case "wait":
        signal.signal(signal.SIGTERM, lambda *_: end("Interrupted", 82, step=7))
        (work.parent / "waiting").touch()
        time.sleep(60)
    case "stubborn":
        signal.signal(signal.SIGTERM, lambda *_: (work.parent / "terminated").touch())
        (work.parent / "waiting").touch()
        while True:
            time.sleep(1)
"""


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """A job whose model and data lie beside it."""
    (tmp_path / "model").mkdir()
    (tmp_path / "train.jsonl").touch()
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return path


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Says what the trainer does at each of its starts: `script("memory succeed")`."""
    package = tmp_path / "stub" / "finetune_trainer"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return lambda words: (tmp_path / "script").write_text(words) and None
