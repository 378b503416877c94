"""Jobs that the schema allows and nobody can mean, and their neighbours that somebody may."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.reconcile.sense import nonsense
from tests.finetune_operator.children.jobs import EVERYTHING, SHORTEST, job
from tests.finetune_operator.reconcile.cluster import Cluster
from tests.finetune_operator.reconcile.objects import finetune_job


def volumes(*paths: str) -> dict[str, Any]:
    return {
        "podTemplate": {
            "volumes": [{"name": f"v{n}", "mountPath": path, "emptyDir": {}} for n, path in enumerate(paths)]
        }
    }


def to(*places: tuple[str, str]) -> dict[str, Any]:
    return {"output": {"destinations": [{"pvc": {"claimName": claim, "path": path}} for claim, path in places]}}


@pytest.mark.parametrize(
    "spec",
    [
        SHORTEST,
        EVERYTHING,
        volumes("/mnt/a", "/mnt/a/b", "/mnt/..a", "/mnt/été"),
        to(("results", "a"), ("results", "ab"), ("other", "a")),
        {"resources": {"memory": "256Mi", "cpu": "0.5"}, "storage": {"size": 1048576}},
        {"resources": {"memory": "4G", "cpu": 1000}},
    ],
)
def test_what_may_be_meant(spec: dict[str, Any]) -> None:
    assert nonsense(job(spec)) == []


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"podTemplate": {"labels": {"job-name": "x"}}}, "spec.podTemplate.labels[job-name]: Kubernetes itself"),
        (volumes("/mnt/../work"), "volumes[0].mountPath: /mnt/../work must not lead out of /mnt/"),
        (volumes("/mnt/a/.."), "must not lead out"),
        (volumes("/mnt/."), "must be a path below /mnt/"),
        (volumes("/mnt/a", "/mnt/a"), "volumes[1].mountPath: /mnt/a is that of volume v0 too"),
        (volumes("/mnt/a", "/mnt//a/"), "is that of volume v0 too"),
        (to(("results", "a"), ("results", "a")), "destinations[1].pvc: a and a of claim results"),
        (to(("results", "a"), ("results", "a/b")), "lie in each other"),
        (to(("results", "a/b"), ("results", "a")), "lie in each other"),
        (to(("invoices-work", "output")), "invoices-work is the job's own volume"),
        ({"resources": {"memory": 4}}, "spec.resources.memory: 4 is 4 bytes; less than 256Mi cannot work"),
        ({"resources": {"memory": "500m"}}, "500m is 0.5 bytes"),
        ({"resources": {"memory": "64Mi"}}, "64Mi is 67108864 bytes"),
        ({"storage": {"size": "50"}}, "spec.storage.size: 50 is 50 bytes; less than 1Mi"),
    ],
)
def test_what_nobody_means(spec: dict[str, Any], sentence: str) -> None:
    [found] = nonsense(job(spec))
    assert sentence in found


def test_it_fails_before_anything_is_made() -> None:
    cluster = Cluster(finetune_job(**to(("invoices-work", "output"))))
    cluster.reconcile()
    assert cluster.children == {}
    assert cluster.condition("Failed")["reason"] == "InvalidSpec"
