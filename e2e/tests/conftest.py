"""One cluster, one operator, one claim of inputs for all end-to-end tests.

With CLUSTER=current the cluster of the current kubeconfig is used, and REGISTRY names where images are pushed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e import claims
from e2e.cluster.layout import HOST_IP, layout
from e2e.demo.make_data import make_data
from e2e.demo.make_model import cached_model
from e2e.kubectl import Kubectl, Object, environment
from e2e.tests.jobs import finetune_job, submit, succeeded

TREE = Path(__file__).parents[2]
SYSTEM_NAMESPACE = "finetune-system"
NAMESPACE = "e2e"
# Shorter than a user's, so that the tests of what never starts don't take a quarter of an hour.
START_DEADLINE_SECONDS = 60
PROGRESS_INTERVAL_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Inputs:
    """What lies on the claim `inputs`, and the same on this machine."""

    image: str
    model: Path
    test: Path


@pytest.fixture(scope="session")
def own_cluster() -> bool:
    """True where the cluster is the project's own, on this machine."""
    return os.environ.get("CLUSTER") != "current"


@pytest.fixture(scope="session")
def cluster_environment(own_cluster: bool) -> dict[str, str]:
    """KUBECONFIG and PATH of a cluster that is up."""
    if not own_cluster:
        return dict(os.environ)
    subprocess.run([sys.executable, "-m", "e2e.cluster", "up"], cwd=TREE, check=True)
    where = layout()
    return environment(os.environ, kubeconfig=where.kubeconfig, path=where.path)


@pytest.fixture(scope="session")
def images(cluster_environment: dict[str, str]) -> dict[str, str]:
    """References by digest of the operator's and the trainer's image, built from this tree."""
    subprocess.run([sys.executable, "-m", "e2e.images", "build"], cwd=TREE, check=True, env=cluster_environment)
    references: dict[str, str] = json.loads((layout().run / "images.json").read_text())
    return references


@pytest.fixture(scope="session")
def system(cluster_environment: dict[str, str], images: dict[str, str]) -> Kubectl:
    """kubectl in the namespace of the operator, installed by Helm with limits that suit tests."""
    settings = {
        "limits": {
            "startDeadlineSeconds": START_DEADLINE_SECONDS,
            "progressIntervalSeconds": PROGRESS_INTERVAL_SECONDS,
        }
    }
    values = {
        "image": {"reference": images["operator"]},
        "trainer": {"image": images["trainer"]},
        "settings": settings,
    }
    subprocess.run(
        [
            *("helm", "upgrade", "--install", "finetune-operator", "charts/finetune-operator"),
            *("--namespace", SYSTEM_NAMESPACE, "--create-namespace", "--wait", "--timeout=5m", "--values=-"),
        ],
        cwd=TREE,
        env=cluster_environment,
        input=json.dumps(values),
        text=True,
        check=True,
    )
    return Kubectl(cluster_environment, SYSTEM_NAMESPACE)


@pytest.fixture(scope="session")
def kube(system: Kubectl) -> Kubectl:
    """kubectl in a namespace that enforces the restricted Pod Security Standard."""
    kube = Kubectl(system.env, NAMESPACE)
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": label}})
    return kube


@pytest.fixture(scope="session")
def inputs(kube: Kubectl, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """The claim `inputs`: a small model that can read, a task it cannot do yet, and files that are broken."""
    folder = tmp_path_factory.mktemp("inputs")
    model = cached_model()
    make_data(folder)
    rows = (folder / "train.jsonl").read_text().splitlines(keepends=True)
    (folder / "broken.jsonl").write_text("".join([*rows[:6], rows[6][:20] + "\n", *rows[7:12]]))
    (folder / "empty.jsonl").write_text("")
    alpaca = json.dumps({"instruction": "Say hello.", "output": "Hello."}) + "\n"
    (folder / "mixed.jsonl").write_text("".join([*rows[:4], alpaca, *rows[5:12]]))

    kube.apply(claims.claim("inputs", "1Gi"))
    files = {path.name: path for path in sorted(folder.iterdir())}
    claims.put(kube, "inputs", images["trainer"], {"model": model, **files})
    return Inputs(image=images["trainer"], model=model, test=folder / "test.jsonl")


@dataclass(frozen=True, slots=True)
class Finished:
    """A job that has succeeded, and when it was made: seconds since the epoch."""

    job: Object
    began: float
    seconds: float


@pytest.fixture(scope="session")
def plain(kube: Kubectl, inputs: Inputs) -> Finished:
    """The small LoRA job `plain`, to which nothing happens: what it cost, what it learned, what its losses were."""
    began = time.time()
    submit(kube, finetune_job("plain"))
    job = succeeded(kube, "plain")
    return Finished(job, began, time.time() - began)


@pytest.fixture(scope="session")
def hub_address(own_cluster: bool) -> str:
    """An address of this machine that pods reach."""
    if not own_cluster:
        pytest.skip("pods of another cluster do not reach this machine")
    return HOST_IP
