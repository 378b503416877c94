"""The demo without a cluster: made here, trained by `finetune run`, measured as a user would."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.demo import compare
from e2e.demo.make_data import make_data
from e2e.demo.make_model import cached_model

pytestmark = [pytest.mark.train, pytest.mark.timeout(900)]
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model, train.jsonl and test.jsonl."""
    folder = tmp_path_factory.mktemp("demo")
    make_data(folder)
    (folder / "model").symlink_to(cached_model())
    return folder


def train(job: Path, work: Path, demo: Path) -> subprocess.Popen[str]:
    """`finetune run`, started."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "finetune_operator.cli.main", "run", "-f", str(job), "--work", str(work)),
            *("--mount", f"quickstart-data={demo}", "-o", "json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("method", "kind"), [("lora", "adapter"), ("qlora", "adapter"), ("full", "model")])
def test_the_quickstart_teaches_the_model(demo: Path, tmp_path: Path, method: str, kind: str) -> None:
    text = (EXAMPLES / "quickstart.yaml").read_text().replace("method: lora", f"method: {method}")
    if method == "full":
        text = text.replace("  adapter:\n    rank: 16\n    alpha: 32\n", "")
    job, work = tmp_path / "job.yaml", tmp_path / "work"
    job.write_text(text)
    process = train(job, work, demo)
    out, err = process.communicate()
    assert process.returncode == 0, err
    result = json.loads(out)
    assert [output["kind"] for output in result["outputs"]] == [kind]

    shown = compare.compare(base=demo / "model", tuned=work / "output", rows=demo / "test.jsonl")
    assert shown.rows == 120
    assert shown.base.exact_match < 0.1
    assert shown.base.label_likelihood < 0.5
    assert shown.tuned.exact_match > 0.9
    assert shown.tuned.label_likelihood > 0.9
    assert all(example.tuned == example.label for example in shown.examples)


def test_a_run_that_is_stopped_goes_on_to_the_same_adapter(demo: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text((EXAMPLES / "quickstart.yaml").read_text().replace("epochs: 8", "epochs: 2"))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(job, whole, demo).wait() == 0

    stopped = train(job, parts, demo)
    metrics = parts / "metrics.jsonl"
    while stopped.poll() is None and not (metrics.exists() and len(metrics.read_text().splitlines()) > 10):
        time.sleep(0.1)
    stopped.send_signal(signal.SIGINT)
    assert stopped.wait() == 82
    resumed = train(job, parts, demo)
    out, _ = resumed.communicate()
    assert resumed.returncode == 0
    assert json.loads(out)["resumedFromStep"] > 0

    adapter = Path("output", "adapter_model.safetensors")
    assert (whole / adapter).read_bytes() == (parts / adapter).read_bytes()
