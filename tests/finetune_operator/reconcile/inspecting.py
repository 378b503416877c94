"""A job whose inputs are being read, as far as a test wants it."""

from __future__ import annotations

from typing import Any

from finetune_api.contract import Outcome
from tests.finetune_operator.reconcile.cluster import Cluster
from tests.finetune_operator.reconcile.objects import new_job

SHAPE = {
    "parameters": 133_000,
    "hiddenSize": 64,
    "layers": 2,
    "intermediateSize": 128,
    "attentionHeads": 4,
    "vocabularySize": 400,
}
GIVEN = {"source": "hf://org/model", "architecture": SHAPE}


def created(**spec: Any) -> Cluster:
    return Cluster(new_job(**spec))


def given_shape() -> Cluster:
    """The model's shape is known without its config.json."""
    return created(model=GIVEN)


def looked(cluster: Cluster) -> Cluster:
    cluster.reconcile()
    return cluster


def reading(cluster: Cluster) -> Cluster:
    """Until the pod runs."""
    cluster.reconcile()
    cluster.control_jobs()
    for _ in range(2):
        cluster.run_kubelet()
        cluster.wait(1)
    return looked(cluster)


def read(cluster: Cluster, outcome: Outcome = Outcome.SUCCEEDED, times: int = 1) -> Cluster:
    """Until so many pods have ended so."""
    for _ in range(times):
        reading(cluster)
        cluster.end_trainer(outcome)
        cluster.control_jobs()
    return looked(cluster)


def status(cluster: Cluster) -> dict[str, Any]:
    assert cluster.job is not None
    return dict(cluster.job["status"])


def names(cluster: Cluster, kind: str = "Job") -> list[str]:
    return [child["metadata"]["name"] for child in cluster.of(kind)]
