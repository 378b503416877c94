"""What can come of the pod that reads a job's inputs, and what is said and done of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from finetune_api.contract import Outcome
from finetune_operator.reconcile.inspect import MEMORY
from finetune_operator.settings import LimitSettings
from tests.finetune_operator.reconcile.cluster import has_writes
from tests.finetune_operator.reconcile.inspecting import created, looked, names, read, reading, status
from tests.finetune_operator.reconcile.objects import INSPECTION, gpu_node, new_job

START_DEADLINE = LimitSettings().start_deadline_seconds


def test_out_of_memory_is_the_operators_setting_and_not_the_jobs() -> None:
    cluster = created()
    for _ in range(5):
        reading(cluster)
        cluster.end_pod(cluster.running_pods()[0], None, code=137, reason="OOMKilled")
        cluster.control_jobs()
    looked(cluster)
    assert MEMORY in cluster.condition("Failed")["message"]
    assert "spec.resources.memory" not in cluster.condition("Failed")["message"]


@pytest.mark.parametrize(
    ("ends", "reason", "says"),
    [
        ({"code": 137}, "Killed", "the trainer was killed (SIGKILL) (exit code 137); it is tried again"),
        ({"code": 137, "reason": "OOMKilled"}, "HostOutOfMemory", f"{MEMORY}; it is tried again"),
        ({"code": 143, "disrupted": True}, "Killed", "(exit code 143); it is tried again"),
        ({"outcome": Outcome.INTERRUPTED}, "Interrupted", "was taken away; it is tried again"),
    ],
)
def test_a_pod_that_was_killed_is_said_until_the_next_one_has_read(
    ends: dict[str, Any], reason: str, says: str
) -> None:
    cluster = reading(created())
    cluster.end_pod(cluster.running_pods()[0], **{"outcome": None, **ends})
    for _ in range(2):  # while the Job waits before it makes the next one, and while that one reads
        looked(cluster)
        assert cluster.condition("Sized")["reason"] == reason
        assert says in cluster.condition("Sized")["message"]
        reading(cluster)
    read(cluster)
    assert cluster.condition("Sized")["status"] == "True"


def test_a_pod_that_its_node_gave_up_before_it_began() -> None:
    cluster = reading(created())
    [pod] = cluster.live_pods()
    pod["status"] = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    looked(cluster)
    assert cluster.condition("Sized")["reason"] == "NodeLost"
    assert "low on resource: memory.; it is tried again" in cluster.condition("Sized")["message"]


def test_a_pod_that_vanished_is_replaced_and_no_quota_is_to_blame() -> None:
    cluster = reading(created())
    cluster.pods.clear()
    cluster.children[("Job", "invoices-inspect")]["status"]["failed"] = 1
    cluster.wait(3600)  # it read for long: the minute that a first pod has is over
    looked(cluster)
    assert cluster.condition("Sized")["reason"] == "Interrupted"
    assert "makes another" in cluster.condition("Sized")["message"]
    assert cluster.events == []
    read(cluster)
    assert cluster.condition("Sized")["status"] == "True"


def test_a_pod_that_is_being_created_for_long_does_not_read() -> None:
    cluster = looked(created())
    cluster.control_jobs()
    cluster.run_kubelet()
    looked(cluster)
    assert cluster.condition("Sized")["message"] == "a pod reads the model and the data"
    assert cluster.plan().after == timedelta(seconds=60)
    cluster.wait(60)
    looked(cluster)
    [pod] = cluster.live_pods()
    assert cluster.condition("Sized")["reason"] == "Inspecting"
    assert f"kubectl describe pod {pod['metadata']['name']}" in cluster.condition("Sized")["message"]
    cluster.run_kubelet()
    looked(cluster)
    assert cluster.condition("Sized")["message"] == "a pod reads the model and the data"


@pytest.mark.parametrize(
    ("reason", "said", "ends"),
    [
        ("ImagePullBackOff", "ImagePull", "ImagePull"),
        ("CreateContainerConfigError", "CreateContainerConfigError", "StartTimeout"),
    ],
)
def test_a_container_that_cannot_start(reason: str, said: str, ends: str) -> None:
    cluster = looked(created())
    cluster.control_jobs()
    cluster.run_kubelet()
    [pod] = cluster.live_pods()
    waiting = {"reason": reason, "message": 'secret "hf" not found'}
    pod["status"]["containerStatuses"] = [{"name": "trainer", "state": {"waiting": waiting}}]
    looked(cluster)
    assert cluster.condition("Sized")["reason"] == said
    assert cluster.condition("Sized")["message"] == 'secret "hf" not found'
    assert cluster.phase() == "Pending"
    cluster.wait(START_DEADLINE)
    looked(cluster)
    assert cluster.phase() == "Failed"
    assert cluster.condition("Failed")["reason"] == ends
    assert 'secret "hf" not found' in cluster.condition("Failed")["message"]
    assert cluster.live_jobs() == []


def test_the_schedulers_sentence() -> None:
    cluster = looked(created())
    cluster.control_jobs()
    [pod] = cluster.live_pods()
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]
    looked(cluster)
    assert cluster.condition("Sized")["reason"] == "Unschedulable"
    assert cluster.condition("Sized")["message"] == "0/3 nodes are available"
    assert ("Unschedulable", "0/3 nodes are available [attempt 0]") in cluster.events
    cluster.wait(1_000_000)
    assert not has_writes(cluster.plan()), "it holds nothing, so it may wait"


def test_no_pod_is_said_after_a_minute() -> None:
    cluster = looked(created())
    cluster.control_jobs()
    cluster.pods.clear()
    assert cluster.plan().after is not None
    cluster.wait(60)
    looked(cluster)
    assert cluster.condition("Sized")["reason"] == "NoPod"
    assert "kubectl describe job invoices-inspect" in cluster.condition("Sized")["message"]


def test_a_refused_child_is_said() -> None:
    cluster = created()
    cluster.refusal = "Job invoices-inspect was refused: exceeded quota"
    plan = cluster.reconcile()
    assert plan.create == ()
    assert cluster.condition("Sized")["message"] == cluster.refusal
    assert cluster.condition("Reconciling")["message"] == cluster.refusal
    cluster.refusal = None
    read(cluster)
    assert names(cluster) == ["invoices-a1", "invoices-inspect"]


def test_a_lost_node_does_not_hold_the_job_up() -> None:
    cluster = reading(created())
    [pod] = cluster.live_pods()
    cluster.nodes = [gpu_node(name=pod["spec"]["nodeName"], ready="Unknown")]
    cluster.carry_out(cluster.plan())
    assert cluster.condition("Sized")["reason"] == "NodeLost"
    cluster.reconcile()
    assert len(cluster.live_jobs()) == 1
    cluster.nodes = []
    read(cluster)
    assert "invoices-a1" in names(cluster)


@pytest.mark.parametrize("kind", ["Job", "ConfigMap"])
def test_what_somebody_deletes_is_made_again(kind: str) -> None:
    cluster = reading(created())
    cluster.delete(kind, "invoices-inspect")
    assert [(child["kind"], child["metadata"]["name"]) for child in cluster.plan().create] == [
        (kind, "invoices-inspect")
    ]


def test_a_word_that_went_with_its_pod_is_asked_for_again() -> None:
    cluster = reading(created())
    cluster.end_trainer(Outcome.SUCCEEDED)
    cluster.control_jobs()
    cluster.pods.clear()
    assert not cluster.plan().delete, "its pod may only not have been seen yet"
    cluster.wait(15)
    assert [ref.name for ref in cluster.plan().delete] == ["invoices-inspect"]
    read(cluster)
    assert status(cluster)["inspection"] == INSPECTION


def test_an_image_that_says_nothing_of_the_inputs_fails_the_job() -> None:
    cluster = reading(created())
    cluster.end_pod(cluster.running_pods()[0], None, code=0, reason="Completed")
    cluster.control_jobs()
    looked(cluster)
    assert cluster.phase() == "Failed"
    assert "is it another image?" in cluster.condition("Failed")["message"]


def test_what_an_earlier_job_of_the_name_left_is_waited_for() -> None:
    cluster = reading(created())
    old = dict(cluster.children)
    cluster.job = new_job(uid="uid-2")
    looked(cluster)
    assert cluster.children == old
    assert cluster.condition("Sized")["reason"] == "EarlierJob"
    for kind, name in list(cluster.children):
        cluster.delete(kind, name)
    cluster.settle()
    assert cluster.phase() == "Succeeded"
