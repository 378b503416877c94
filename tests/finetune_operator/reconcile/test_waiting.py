"""Pods that do not train: who holds them up is said in his own words, and no GPU is held for ever."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.settings import LimitSettings, Settings
from tests.finetune_operator.reconcile.cluster import Cluster, has_writes
from tests.finetune_operator.reconcile.kubernetes import Thing
from tests.finetune_operator.reconcile.objects import finetune_job, gpu_node
from tests.finetune_operator.reconcile.test_life import started

SETTINGS = Settings(limits=LimitSettings(start_deadline_seconds=300, interruptions_without_progress=3))


def with_pod() -> tuple[Cluster, Thing]:
    """A cluster in which the Job controller has just made the pod."""
    cluster = Cluster(settings=SETTINGS)
    cluster.reconcile()
    cluster.control_jobs()
    [pod] = cluster.pods.values()
    return cluster, pod


def stuck(reason: str, message: str) -> tuple[Cluster, Thing]:
    """A pod on a node whose container the kubelet does not start."""
    cluster, pod = with_pod()
    cluster.run_kubelet()
    pod["status"]["containerStatuses"] = [
        {"name": "trainer", "state": {"waiting": {"reason": reason, "message": message}}}
    ]
    cluster.reconcile()
    return cluster, pod


@pytest.mark.parametrize(
    "sentence",
    [
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        '0/1 nodes are available: persistentvolumeclaim "data" not found.',
    ],
)
def test_the_schedulers_sentence(sentence: str) -> None:
    cluster, pod = with_pod()
    pod["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": sentence}
    ]
    cluster.reconcile()
    assert cluster.phase() == "Pending"
    admitted = cluster.condition("Admitted")
    assert (admitted["status"], admitted["reason"], admitted["message"]) == ("False", "Unschedulable", sentence)
    assert ("Unschedulable", f"{sentence} [attempt 1]") in cluster.events
    pod["status"]["conditions"][0]["message"] = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."
    cluster.reconcile()
    assert cluster.condition("Admitted")["message"].startswith("0/4 nodes"), "the newest sentence is shown"
    assert [reason for reason, _ in cluster.events].count("Unschedulable") == 1
    cluster.wait(100_000)
    assert not has_writes(cluster.plan()), "a pod without a node holds nothing and may wait"


TAKEN = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
UNBOUND = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."


@pytest.mark.parametrize(
    ("product", "sentence", "says"),
    [
        ("NVIDIA-L4", TAKEN, f"waits for 1 free L4 on one node: {TAKEN}"),
        ("Tesla-T4", TAKEN, "waits for 1 free L4 on one node, and no node has any: it starts when there is one"),
        ("NVIDIA-L4", UNBOUND, UNBOUND),
    ],
)
def test_what_it_waits_for(product: str, sentence: str, says: str) -> None:
    cluster = Cluster(finetune_job(resources={"accelerator": "L4"}), nodes=(gpu_node(product),), settings=SETTINGS)
    cluster.reconcile()
    cluster.control_jobs()
    [pod] = cluster.pods.values()
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": sentence}]
    cluster.reconcile()
    assert cluster.condition("Admitted")["message"].startswith(says)
    assert cluster.condition("Admitted")["message"].endswith(sentence)


@pytest.mark.parametrize(
    ("reason", "message", "trained", "outcome"),
    [
        ("CreateContainerConfigError", 'secret "hf" not found', "CreateContainerConfigError", "StartTimeout"),
        ("ErrImagePull", 'failed to pull image "x": not found', "ImagePull", "ImagePull"),
        ("ImagePullBackOff", 'Back-off pulling image "x"', "ImagePull", "ImagePull"),
        ("InvalidImageName", 'couldn\'t parse image name "X"', "ImagePull", "ImagePull"),
        ("ErrImageNeverPull", 'Container image "x" is not present', "ImagePull", "ImagePull"),
    ],
)
def test_the_kubelets_sentence_at_once_and_the_end_at_the_deadline(
    reason: str, message: str, trained: str, outcome: str
) -> None:
    cluster, _ = stuck(reason, message)
    assert cluster.condition("Trained")["reason"] == trained
    assert cluster.condition("Trained")["message"] == message
    assert cluster.phase() == "Starting"
    after = cluster.plan().after
    assert after is not None
    assert after.total_seconds() == 300
    cluster.wait(300)
    cluster.reconcile()
    assert cluster.phase() == "Failed"
    assert cluster.condition("Failed")["reason"] == outcome
    assert cluster.condition("Failed")["message"] == message
    assert cluster.live_jobs() == [], "the Job is deleted, so that no GPU is held"


def test_what_alternates_is_written_once() -> None:
    cluster, pod = stuck("ErrImagePull", "not found")
    writes = cluster.writes
    for reason, message in [
        ("ImagePullBackOff", "Back-off 10s"),
        ("ErrImagePull", "not found"),
        ("ImagePullBackOff", "20s"),
    ]:
        pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": reason, "message": message}}
        cluster.reconcile()
    assert cluster.writes == writes
    assert cluster.condition("Trained")["message"] == "not found"


def test_a_container_that_is_never_created() -> None:
    cluster, _ = with_pod()
    cluster.run_kubelet()
    cluster.reconcile()
    assert cluster.condition("Admitted")["status"] == "True"
    cluster.wait(300)
    cluster.reconcile()
    assert cluster.condition("Failed")["reason"] == "StartTimeout"
    assert "kubectl get events" in cluster.condition("Failed")["message"]


def test_a_secret_that_comes_in_time() -> None:
    cluster, _ = stuck("CreateContainerConfigError", 'secret "hf" not found')
    cluster.wait(200)
    cluster.run_kubelet()
    cluster.wait(200)
    cluster.settle()
    assert cluster.phase() == "Succeeded"


def test_a_lost_node_is_said_and_nothing_is_forced() -> None:
    cluster = started(Cluster(settings=SETTINGS))
    cluster.nodes.append({**gpu_node(name="node", ready="Unknown")})
    writes: list[Any] = []
    for _ in range(3):
        writes.append(cluster.reconcile())
        cluster.wait(100_000)
    assert cluster.condition("Trained")["reason"] == "NodeLost"
    assert "out-of-service" in cluster.condition("Trained")["message"]
    assert all(not plan.delete and not plan.create for plan in writes)
    assert len(cluster.live_jobs()) == 1
    cluster.nodes[-1]["status"]["conditions"][0]["status"] = "True"
    cluster.reconcile()
    assert cluster.condition("Trained")["reason"] == "Starting"


def test_a_pod_that_outlives_its_grace_period_is_said() -> None:
    cluster = started(Cluster(settings=SETTINGS))
    [pod] = cluster.running_pods()
    cluster.stop_pod(pod)
    after = cluster.reconcile().after
    assert after is not None
    assert after.total_seconds() == 120 + 60
    cluster.wait(180)
    cluster.reconcile()
    assert cluster.condition("Trained")["reason"] == "NotStopping"
    assert ("NotStopping", f"{cluster.condition('Trained')['message']} [attempt 1]") in cluster.events
    cluster.settle()
    assert cluster.phase() == "Succeeded"


def test_a_job_without_a_pod_is_said_after_a_minute() -> None:
    cluster = Cluster()
    cluster.reconcile()
    cluster.wait(61)
    cluster.reconcile()
    assert cluster.condition("Admitted")["reason"] == "NoPod"
    cluster.settle()
    assert cluster.phase() == "Succeeded"


def test_a_resumed_job_has_a_minute_for_its_pod_again() -> None:
    cluster = started(Cluster(settings=SETTINGS))
    cluster.edit(suspend=True)
    for _ in range(4):
        cluster.reconcile()
        cluster.control_jobs()
        cluster.run_kubelet()
    assert cluster.pods == {}
    cluster.wait(3600)
    cluster.edit(suspend=False)
    cluster.reconcile()
    assert cluster.condition("Admitted")["reason"] == "Creating"
    cluster.control_jobs()
    cluster.pods.clear()
    cluster.reconcile()
    assert cluster.condition("Admitted")["reason"] == "Creating"
    cluster.wait(61)
    cluster.reconcile()
    assert cluster.condition("Admitted")["reason"] == "NoPod"


def test_gpu_seconds_of_all_pods_are_added_up() -> None:
    job = finetune_job(resources={"accelerator": "L4"})
    cluster = started(Cluster(job, settings=SETTINGS))
    cluster.wait(99)  # the pod started a second ago
    [pod] = cluster.running_pods()
    cluster.stop_pod(pod)
    cluster.run_kubelet()
    cluster.reconcile()
    assert cluster.job is not None
    assert cluster.job["status"]["cost"]["gpuSeconds"] == 100
    cluster.control_jobs()
    cluster.reconcile()
    cluster.run_kubelet()
    cluster.run_kubelet()
    cluster.reconcile()
    cluster.wait(50)
    cluster.settle()
    assert cluster.phase() == "Succeeded"
    assert cluster.job["status"]["cost"]["gpuSeconds"] >= 150
    ended = cluster.job["status"]["cost"]["gpuSeconds"]
    cluster.wait(500)
    cluster.reconcile()
    assert cluster.job["status"]["cost"]["gpuSeconds"] == ended
