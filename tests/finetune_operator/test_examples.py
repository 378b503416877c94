"""Each example uses only what this version does."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_api import manifest
from finetune_operator.support import unsupported

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
# `finetune run` alone reads file://
ON_THIS_MACHINE = {"local.yaml"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_supported(path: Path):
    job = manifest.read(path)
    objections = unsupported(job.spec.to_json(), labels=job.metadata.labels)
    local = [each for each in objections if each.split(": ")[1].startswith("file://")]
    assert objections == (local if path.name in ON_THIS_MACHINE else [])
