"""The guides' commands, typed one after the other as a reader would."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from e2e.kubectl import Kubectl
from e2e.tests.conftest import SYSTEM_NAMESPACE, TREE, Inputs
from e2e.tests.jobs import finetune_job, gone, submit
from tests.documents import block_commands, blocks

pytestmark = pytest.mark.cluster
GUIDE = TREE / "docs/getting-started.md"
OPERATIONS = TREE / "docs/operations.md"
JOB = "first"
GLANCE_SECONDS = 5


def typed(command: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What the command printed; it must succeed, or be one that a reader would have ended."""
    endless = command.endswith(" -w") or " logs -f " in command  # what a reader ends with Ctrl-C
    words = ["timeout", str(GLANCE_SECONDS)] if endless else []
    for _ in range(30):
        done = subprocess.run(
            [*words, "bash", "-c", command],
            cwd=folder,
            env=dict(environment),
            text=True,
            capture_output=True,
            timeout=400,
        )
        if "waiting to start" not in done.stderr:  # as a reader does who was too quick
            break
        time.sleep(1)
    assert done.returncode == 0 or (endless and done.returncode == 124), f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def in_its_namespace(kube: Kubectl, folder: Path) -> dict[str, str]:
    """An environment in which kubectl without -n is in kube's namespace."""
    environment = {**kube.env, "KUBECONFIG": str(folder / "kubeconfig")}
    (folder / "kubeconfig").write_text(kube("config", "view", "--raw", "--flatten"))
    typed(f"kubectl config set-context --current --namespace={kube.namespace}", folder, environment)
    return environment


def commands(page: Path) -> list[str]:
    """Those in the page's blocks."""
    return [command for block in blocks(page) for command in block_commands(block)]


def test_getting_started_can_be_followed(kube: Kubectl, inputs: Inputs, tmp_path: Path) -> None:
    submit(kube, finetune_job(JOB, suspend=True))  # whatever an earlier test left is gone
    kube.delete("finetunejob", JOB)
    gone(kube, JOB)
    kube.delete("secret", "hf")
    [reader] = [yaml.safe_load(b.text) for b in blocks(GUIDE) if b.text.startswith("# reader.yaml")]
    # A job as small as the cluster, and an image that it can pull; all else is as it stands on the page.
    reader["spec"]["containers"][0]["image"] = inputs.image
    (tmp_path / "reader.yaml").write_text(yaml.safe_dump(reader))
    (tmp_path / "job.yaml").write_text(json.dumps(finetune_job(JOB, training={"maxSteps": 60})))
    environment = in_its_namespace(kube, tmp_path)
    said = {command: typed(command, tmp_path, environment) for command in commands(GUIDE)}
    kube.delete("secret", "hf")

    [outputs] = [json.loads(text) for command, text in said.items() if "status.outputs" in command]
    [digest] = [text.split()[0] for command, text in said.items() if command.startswith("sha256sum")]
    assert outputs[0]["digest"] == f"sha256:{digest}"
    assert (tmp_path / "first-adapter/adapter_model.safetensors").stat().st_size > 0
    assert (tmp_path / "metrics.jsonl").stat().st_size > 0
    gone(kube, JOB)
    assert kube.get("pod", "reader") is None


def test_the_operator_can_be_looked_at_as_operations_says(kube: Kubectl, system: Kubectl, tmp_path: Path) -> None:
    looks = [c for c in commands(OPERATIONS) if c.startswith((f"kubectl -n {SYSTEM_NAMESPACE}", "kubectl get --raw"))]
    assert len(looks) >= 4
    said = "".join(typed(command, tmp_path, system.env) for command in looks)
    assert "finetune_operator_leader" in said
