"""Each example is a job, as the reader of job files and (test_crd_apiserver.py) a real API server take it."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_api import manifest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples(path: Path):
    assert manifest.read(path).spec.method
    first, *_ = path.read_text().splitlines()
    assert first.startswith("# "), "an example begins with what it shows"


def test_there_are_some():
    assert len(EXAMPLES) >= 8
