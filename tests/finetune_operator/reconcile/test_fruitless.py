"""What is lost for free again and again: as long as it comes further it goes on, and else it ends."""

from __future__ import annotations

import copy

from tests.finetune_operator.reconcile.cluster import Cluster
from tests.finetune_operator.reconcile.objects import finetune_job, stamp
from tests.finetune_operator.reconcile.test_life import started
from tests.finetune_operator.reconcile.test_waiting import SETTINGS


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
