"""What Flux, and all who judge by kstatus, see of a job at each moment of its life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from finetune_api.contract import Outcome
from finetune_operator.settings import LimitSettings, Settings
from tests.finetune_operator.reconcile.cluster import Cluster
from tests.finetune_operator.reconcile.objects import finetune_job, new_job
from tests.finetune_operator.reconcile.test_life import ended, started


def kstatus(obj: dict[str, Any]) -> str:
    """The rules of sigs.k8s.io/cli-utils/pkg/kstatus for a kind that it does not know, in their order."""
    status, metadata = obj.get("status") or {}, obj["metadata"]
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    for condition in status.get("conditions", []):
        match condition["type"], condition["status"]:
            case "Reconciling", "True":
                return "InProgress"
            case "Stalled", "True":
                return "Failed"
    for condition in status.get("conditions", []):
        if condition["type"] == "Ready":
            return {"True": "Current"}.get(condition["status"], "InProgress")
    return "Current"


def created(**spec: Any) -> Cluster:
    return Cluster(finetune_job(**spec), settings=Settings(limits=LimitSettings(start_deadline_seconds=60)))


def looked(cluster: Cluster) -> Cluster:
    cluster.reconcile()
    return cluster


def refused() -> Cluster:
    cluster = created()
    cluster.refusal = "Job invoices-a1 was refused: exceeded quota"
    return looked(cluster)


def inspecting(**spec: Any) -> Cluster:
    return looked(Cluster(new_job(**spec)))


def bad_inputs() -> Cluster:
    cluster = started(inspecting())
    return ended(cluster, Outcome.BAD_DATA)


def unschedulable() -> Cluster:
    cluster = looked(created())
    cluster.control_jobs()
    [pod] = cluster.pods.values()
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]
    return looked(cluster)


def training() -> Cluster:
    cluster = started(created())
    cluster.train()
    return looked(cluster)


def at(stage: str) -> Cluster:
    cluster = training()
    assert cluster.progress is not None
    cluster.progress = cluster.progress.model_copy(update={"stage": stage})
    return looked(cluster)


def after(outcome: Outcome) -> Cluster:
    return ended(started(created()), outcome)


def suspended() -> Cluster:
    cluster = training()
    cluster.edit(suspend=True)
    return looked(cluster)


def edited() -> Cluster:
    cluster = training()
    cluster.edit(suspend=True)
    return cluster


def edited_at_the_end() -> Cluster:
    cluster = after(Outcome.SUCCEEDED)
    cluster.edit(ttlSecondsAfterFinished=10_000)
    return looked(cluster)


def never_started() -> Cluster:
    cluster = looked(created())
    cluster.control_jobs()
    cluster.run_kubelet()
    cluster.wait(60)
    return looked(cluster)


def going() -> Cluster:
    cluster = training()
    assert cluster.job is not None
    cluster.job["metadata"]["deletionTimestamp"] = "2026-01-01T13:00:00Z"
    return cluster


@pytest.mark.parametrize(
    ("scene", "phase", "seen"),
    [
        (created, "", "InProgress"),  # the status that the CRD gives it: observedGeneration -1
        (inspecting, "Pending", "InProgress"),  # nobody knows yet what it will run on
        (bad_inputs, "Failed", "Failed"),
        (lambda: inspecting(suspend=True), "Suspended", "Current"),
        (lambda: looked(created()), "Starting", "Current"),  # acted on: it counts as a Job that runs does
        (refused, "Pending", "InProgress"),  # nothing runs, and somebody has to see to it
        (unschedulable, "Pending", "Current"),
        (lambda: started(created()), "Starting", "Current"),
        (training, "Training", "Current"),
        (lambda: at("Evaluating"), "Evaluating", "Current"),
        (lambda: at("Exporting"), "Exporting", "Current"),
        (lambda: after(Outcome.TRANSIENT), "Pending", "Current"),  # between two attempts
        (lambda: after(Outcome.SUCCEEDED), "Succeeded", "Current"),
        (lambda: after(Outcome.BAD_DATA), "Failed", "Failed"),
        (never_started, "Failed", "Failed"),
        (lambda: looked(created(method="ia3")), "Failed", "Failed"),  # unsupported
        (lambda: looked(created(method="poetry")), "Failed", "Failed"),  # an older CRD let it in
        (lambda: looked(created(resources={"accelerator": "H9000"})), "Failed", "Failed"),
        (lambda: looked(created(suspend=True)), "Suspended", "Current"),
        (suspended, "Suspended", "Current"),
        (edited, "Training", "InProgress"),  # until this generation was looked at
        (edited_at_the_end, "Succeeded", "Current"),
        (going, "Training", "Terminating"),
    ],
)
def test_kstatus(scene: Callable[[], Cluster], phase: str, seen: str) -> None:
    cluster = scene()
    assert cluster.job is not None
    assert cluster.phase() == phase
    assert kstatus(cluster.job) == seen


@pytest.mark.parametrize(
    "scene", [inspecting, bad_inputs, training, suspended, never_started, edited_at_the_end, refused]
)
def test_conditions_are_as_the_conventions_want_them(scene: Callable[[], Cluster]) -> None:
    job = scene().job
    assert job is not None
    kinds = [condition["type"] for condition in job["status"]["conditions"]]
    assert len(kinds) == len(set(kinds)), "a map keyed on type"
    assert "Ready" not in kinds
    for condition in job["status"]["conditions"]:
        assert condition["observedGeneration"] == job["metadata"]["generation"]
        assert condition["reason"].isalnum()
        assert condition["reason"][0].isupper()
        assert condition["status"] in ("True", "False", "Unknown")
