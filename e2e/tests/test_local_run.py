"""README's "Without a cluster", in an environment that has nothing but what it names. No cluster is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster.layout import layout
from e2e.tests.conftest import TREE

pytestmark = pytest.mark.cluster
# What is made in the tree and would not be in a fresh copy of it.
MADE = shutil.ignore_patterns(".git", ".venv", "build", "dist", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis")
INSTALL_SECONDS = 1200  # the wheels are gigabytes, where they are not in the cache


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree."""
    return Path(shutil.copytree(TREE, tmp_path_factory.mktemp("fresh") / "tree", ignore=MADE))


@pytest.fixture(scope="module")
def environment(tree: Path) -> dict[str, str]:
    """A new virtual environment in front of PATH, with `pip install '.[trainer]'` done in the copy."""
    venv = tree.parent / "venv"
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    found = {
        **inherited,
        "VIRTUAL_ENV": str(venv),
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
        "UV_CACHE_DIR": str(layout().uv),
    }
    uv = layout().cache / "uv-tool/bin/uv"  # made by make, and only quicker than pip
    run([str(uv), "venv", "-q", "--python", sys.executable, str(venv)], tree, found)
    # what is tested is this tree, not what was released since the lock
    locked = ["--constraint", "requirements/trainer.txt"]
    run([str(uv), "pip", "install", "-q", *locked, ".[trainer]"], tree, found, seconds=INSTALL_SECONDS)
    return found


def run(command: list[str], tree: Path, environment: dict[str, str], *, seconds: float = 300) -> str:
    """What it printed; it must succeed."""
    done = subprocess.run(command, cwd=tree, env=environment, text=True, capture_output=True, timeout=seconds)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(2 * INSTALL_SECONDS)
def test_a_job_trains_where_only_the_trainer_is_installed(tree: Path, environment: dict[str, str]) -> None:
    present = "import importlib.util as u; print([n for n in ('kopf', 'kubernetes') if u.find_spec(n)])"
    assert run(["python", "-c", present], tree.parent, environment).strip() == "[]"
    where = "import finetune_api; print(finetune_api.__file__)"
    assert str(tree) not in run(["python", "-c", where], tree.parent, environment), "it must be a copy, not the tree"

    run(["python", "-m", "e2e.demo.make_model", "--output", "build/demo/model"], tree, environment, seconds=900)
    run(["python", "-m", "e2e.demo.make_data", "--output", "build/demo"], tree, environment)
    work = tree.parent / "first"
    said = run(["finetune", "run", "-f", "examples/local.yaml", "--work", str(work)], tree, environment, seconds=900)
    assert "PeftModel.from_pretrained(" in said
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= {
        path.name for path in (work / "output").iterdir()
    }
    again = run(["finetune", "run", "-f", "examples/local.yaml", "--work", str(work)], tree, environment)
    assert again == said, "a finished run is told of again, and not trained anew"
