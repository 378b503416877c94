"""What is built is what a real API server takes: known fields, valid values, and the restricted Pod Security."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.kubectl import Kubectl
from tests.apiserver import ApiServer
from tests.finetune_operator.children.jobs import EVERYTHING, SHORTEST, job
from tests.finetune_operator.children.test_golden import built
from tests.finetune_operator.reconcile.cluster import Cluster
from tests.finetune_operator.reconcile.objects import finetune_job

pytestmark = pytest.mark.apiserver


@pytest.fixture(scope="module")
def kube(apiserver: ApiServer) -> Kubectl:
    """A namespace that takes restricted pods only."""
    kube = apiserver.in_namespace("children")
    kube("label", "namespace", "children", "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    kube("apply", "-f", "-", stdin=json.dumps(account))  # no controller manager runs here
    return kube


def create(kube: Kubectl, manifest: dict[str, Any]) -> None:
    """Create it for a moment: the server must take all of it as it is."""
    manifest = {**manifest, "metadata": {**manifest["metadata"], "namespace": "children"}}
    kube("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(manifest))


@pytest.mark.parametrize("child", ["claim", "config_map", "job"])
@pytest.mark.parametrize("changes", [SHORTEST, EVERYTHING], ids=["shortest", "everything"])
def test_the_server_takes_it(kube: Kubectl, changes: dict[str, Any], child: str) -> None:
    manifest = built(job(changes))[child]
    if child == "config_map":
        manifest = {**manifest, "data": {name: json.dumps(data) for name, data in manifest["data"].items()}}
    create(kube, manifest)


@pytest.mark.parametrize("changes", [SHORTEST, EVERYTHING], ids=["shortest", "everything"])
def test_its_pod_is_a_restricted_one(kube: Kubectl, changes: dict[str, Any]) -> None:
    template = built(job(changes))["job"]["spec"]["template"]
    # Cluster-scoped objects that this server doesn't have, and that have nothing to do with security.
    spec = {k: v for k, v in template["spec"].items() if k not in ("priorityClassName", "runtimeClassName")}
    create(kube, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", **template["metadata"]}, "spec": spec})


def test_statuses_are_what_the_resource_has(kube: Kubectl) -> None:
    cluster = Cluster(finetune_job(resources={"accelerator": "L4"}))
    kube("delete", "finetunejob", "invoices", "--ignore-not-found")
    assert cluster.job is not None
    body = {k: v for k, v in cluster.job.items() if k != "status"}
    body["metadata"] = {"name": "invoices"}
    kube("create", "-f", "-", stdin=json.dumps(body))
    for _ in range(8):
        cluster.reconcile()
        status = cluster.job["status"]
        kube(
            "patch",
            "finetunejob",
            "invoices",
            "--subresource=status",
            "--type=merge",
            "-p",
            json.dumps({"status": status}),
        )
        found = kube.get("finetunejob", "invoices")
        assert found is not None
        assert found["status"] == status
        cluster.control_jobs()
        cluster.run_kubelet()
        cluster.train(50)
        cluster.wait(5)
