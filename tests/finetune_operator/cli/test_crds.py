"""`finetune crds` against the committed files and in a tree of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from finetune_operator.cli.crds import generated
from finetune_operator.cli.main import main

TOP = Path(__file__).parents[3]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with nothing generated in it."""
    (tmp_path / "crds/src/finetune_api").mkdir(parents=True)
    return tmp_path


def test_committed_files_are_fresh():
    assert main(["crds", "--check", "--root", str(TOP)]) == 0


def test_it_writes_what_it_checks(tree: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["crds", "--check", "--root", str(tree)]) == 1
    assert main(["crds", "--root", str(tree)]) == 0
    assert main(["crds", "--check", "--root", str(tree)]) == 0
    capsys.readouterr()
    (tree / "docs/reference.md").write_text("stale")
    assert main(["crds", "--check", "--root", str(tree)]) == 1
    assert (
        capsys.readouterr().err
        == "docs/reference.md: is not what its source says; run `finetune crds` (or `make generate`) and commit it\n"
    )


def test_the_definition_alone(tree: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["crds", "--output", "-"]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["metadata"]["name"] == "finetunejobs.finetune.dev"
    assert main(["crds", "--output", str(tree / "crd.yaml")]) == 0
    assert (tree / "crd.yaml").read_text() == printed == generated()[Path("crds/finetunejobs.yaml")]


def test_the_reference_alone(capsys: pytest.CaptureFixture[str]):
    assert main(["crds", "--reference", "-"]) == 0
    assert "| `learningRate` | number (> 0, ≤ 1) |" in capsys.readouterr().out


def test_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["crds", "--root", str(tmp_path)]) == 1
    assert "is not the project's source tree" in capsys.readouterr().err
