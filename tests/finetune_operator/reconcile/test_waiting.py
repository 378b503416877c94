"""Pods that do not train: who holds them up is said in his own words, and no GPU is held for ever."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from finetune_operator.settings import LimitSettings, Settings
from tests.finetune_operator.reconcile.cluster import Cluster, Thing, has_writes
from tests.finetune_operator.reconcile.objects import finetune_job, gpu_node, stamp
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


def test_pods_that_interrupt_themselves_for_ever() -> None:
    cluster = started(Cluster(finetune_job(retry={"maxAttempts": 1}), settings=SETTINGS))
    for _ in range(10):
        for pod in cluster.running_pods():
            pod["status"]["phase"] = "Failed"
            terminated = {"exitCode": 82, "startedAt": stamp(cluster.now), "finishedAt": stamp(cluster.now)}
            pod["status"]["containerStatuses"] = [{"name": "trainer", "state": {"terminated": terminated}}]
        cluster.reconcile()
        cluster.control_jobs()
        cluster.run_kubelet()
        cluster.run_kubelet()
        cluster.wait(10)
    [attempt] = cluster.attempts()
    assert attempt["outcome"] == "TooManyInterruptions"
    assert attempt["interruptions"] == 3
    assert cluster.phase() == "Failed"
    assert cluster.live_jobs() == []


def lose(cluster: Cluster) -> None:
    """The pod is evicted, or deleted, and gone before anybody has read its last words."""
    for pod in cluster.live_pods():
        del cluster.pods[pod["metadata"]["name"]]
    for _ in range(4):
        cluster.reconcile()
        cluster.control_jobs()
        cluster.run_kubelet()
        cluster.wait(10)
    cluster.reconcile()


def test_pods_that_vanish_before_they_come_any_further() -> None:
    cluster = started(Cluster(finetune_job(retry={"maxAttempts": 1}), settings=SETTINGS))
    cluster.train(30)
    cluster.reconcile()
    for _ in range(4):
        assert cluster.phase() != "Failed"
        lose(cluster)
    [attempt] = cluster.attempts()
    assert attempt["outcome"] == "TooManyInterruptions"
    assert attempt["interruptions"] == 4, "the first of them had come to step 30"
    assert "3 pods in a row were interrupted and came no further than step 30" in attempt["message"]
    assert cluster.phase() == "Failed"


def test_pods_that_vanish_and_come_further_each_time() -> None:
    cluster = started(Cluster(finetune_job(retry={"maxAttempts": 1}), settings=SETTINGS))
    for step in range(10, 90, 10):
        cluster.train(step)
        cluster.reconcile()
        lose(cluster)
    assert cluster.phase() == "Starting"
    assert cluster.attempts()[0]["interruptions"] == 8
    cluster.settle()
    assert cluster.phase() == "Succeeded"


def refuse(cluster: Cluster) -> None:
    """The kubelet does not admit the pod that was bound to it: no Job of ours is told to ignore that."""
    for pod in cluster.live_pods():
        pod["status"] = {"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough resource: cpu"}


def test_a_node_that_refuses_every_pod() -> None:
    cluster = Cluster(finetune_job(retry={"maxAttempts": 1}), settings=SETTINGS)
    for _ in range(3):
        assert cluster.phase() != "Failed"
        cluster.reconcile()
        cluster.control_jobs()
        refuse(cluster)
        cluster.control_jobs()
        cluster.reconcile()
        cluster.wait(1000)
    assert cluster.phase() == "Failed"
    assert [attempt["outcome"] for attempt in cluster.attempts()] == ["NodeLost"] * 3
    failed = cluster.condition("Failed")
    assert failed["reason"] == "NodeLost"
    assert failed["message"] == (
        "the node was lost, or gave the pod up: Node didn't have enough resource: cpu; "
        "that was so 3 times in a row, and the run came no further"
    )


def test_an_attempt_that_is_given_up_makes_room_for_the_next() -> None:
    cluster = started(Cluster(settings=SETTINGS))
    [pod] = cluster.running_pods()
    terminated = {"exitCode": 82, "startedAt": stamp(cluster.now), "finishedAt": stamp(cluster.now)}
    for number in range(3):  # as they lie there after a night
        other = copy.deepcopy(pod)
        other["metadata"]["name"] = f"invoices-a1-{number}"
        other["status"]["phase"] = "Failed"
        other["status"]["containerStatuses"] = [{"name": "trainer", "state": {"terminated": terminated}}]
        cluster.pods[other["metadata"]["name"]] = other
    cluster.reconcile()
    assert [attempt["outcome"] for attempt in cluster.attempts()] == ["TooManyInterruptions"]
    assert cluster.live_jobs() == []
    cluster.settle()
    assert cluster.phase() == "Succeeded"
    assert [attempt["number"] for attempt in cluster.attempts()] == [1, 2]


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
