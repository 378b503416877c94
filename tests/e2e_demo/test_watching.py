"""How the demo follows its job, against a kubectl that answers from files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from e2e.demo import watching
from e2e.demo.announce import DemoError
from e2e.kubectl import Kubectl

KUBECTL = """#!/bin/sh
case "$*" in
    *--watch*) echo "NAME PHASE"; echo "quickstart Training"; exec sleep 60 ;;
    *"get finetunejob"*) cat "$ANSWERS/job" ;;
    *describe*) echo "Reason: BadData" ;;
    *logs*) echo "row 7 is empty" ;;
    *"get pods"*) echo "quickstart-a1-x  Error" ;;
    *) cat "$ANSWERS/children" ;;
esac
"""


@pytest.fixture
def kube(tmp_path: Path) -> Kubectl:
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ANSWERS": str(tmp_path)}
    return Kubectl(env, "demo")


def answer(kube: Kubectl, **status: object) -> None:
    (Path(kube.env["ANSWERS"]) / "job").write_text(json.dumps({"metadata": {"name": "quickstart"}, "status": status}))


def test_success_returns_the_job(
    kube: Kubectl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", kube.env["PATH"])
    answer(kube, phase="Succeeded", outputs=[1])
    assert watching.until_succeeded(kube, "quickstart")["status"]["outputs"] == [1]
    assert "quickstart Training" in capsys.readouterr().out


def test_a_failure_comes_with_description_and_log(
    kube: Kubectl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", kube.env["PATH"])
    answer(kube, phase="Failed", conditions=[{"type": "Failed", "status": "True", "message": "row 7 is empty"}])
    with pytest.raises(DemoError, match="the job quickstart failed: row 7 is empty"):
        watching.until_succeeded(kube, "quickstart")
    said = capsys.readouterr().out
    assert "$ kubectl -n demo describe finetunejob quickstart" in said
    assert "Reason: BadData" in said
    assert "quickstart-a1-x  Error" in said


def test_a_job_that_is_gone_is_told(kube: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", kube.env["PATH"])
    (Path(kube.env["ANSWERS"]) / "job").touch()
    with pytest.raises(DemoError, match="the job quickstart is gone"):
        watching.until_succeeded(kube, "quickstart")


def test_what_a_deleted_job_leaves_is_named(kube: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", kube.env["PATH"])
    children = Path(kube.env["ANSWERS"]) / "children"
    children.write_text(json.dumps({"items": []}))
    watching.until_gone(kube, "quickstart")
    children.write_text(json.dumps({"items": [{"kind": "Pod", "metadata": {"name": "quickstart-a1-x"}}]}))
    monkeypatch.setattr(watching, "GONE_SECONDS", 0)
    with pytest.raises(DemoError, match="Pod/quickstart-a1-x of the deleted job"):
        watching.until_gone(kube, "quickstart")
