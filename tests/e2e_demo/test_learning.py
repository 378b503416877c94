"""The demo without a cluster: made here, trained by `finetune run`, measured as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


@pytest.mark.parametrize(("method", "kind"), [("lora", "adapter"), ("qlora", "adapter"), ("full", "model")])
def test_the_quickstart_teaches_the_model(demo: Path, tmp_path: Path, method: str, kind: str) -> None:
    text = (EXAMPLES / "quickstart.yaml").read_text().replace("method: lora", f"method: {method}")
    if method == "full":
        text = text.replace("  adapter:\n    rank: 16\n    alpha: 32\n", "")
    job, work = tmp_path / "job.yaml", tmp_path / "work"
    job.write_text(text)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "finetune_operator.cli.main", "run", "-f", job, "--work", work),
            *("--mount", f"quickstart-data={demo}", "-o", "json"),
        ],
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [output["kind"] for output in result["outputs"]] == [kind]

    shown = compare.compare(base=demo / "model", tuned=work / "output", rows=demo / "test.jsonl")
    assert shown.rows == 120
    assert shown.base.exact_match < 0.1
    assert shown.base.label_likelihood < 0.5
    assert shown.tuned.exact_match > 0.9
    assert shown.tuned.label_likelihood > 0.9
    assert all(example.tuned == example.label for example in shown.examples)
