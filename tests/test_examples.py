"""Every example is a job that the API server takes and this version does."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_api import manifest
from finetune_operator.local.place import require_support

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_it_is_a_job_that_runs(path: Path) -> None:
    require_support(manifest.read(path))


def test_local_is_the_quickstart_on_this_machine() -> None:
    quickstart, local = (manifest.read(EXAMPLES / f"{name}.yaml").spec for name in ("quickstart", "local"))
    assert local.training == quickstart.training
    assert local.adapter == quickstart.adapter
    assert local.method == quickstart.method
