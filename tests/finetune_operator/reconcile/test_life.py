"""Jobs from their creation to their end, in a cluster that does what clusters do."""

from __future__ import annotations

import pytest

from finetune_api.contract import Outcome
from finetune_operator.events import NOTE_LIMIT_BYTES
from tests.finetune_operator.reconcile.cluster import Cluster, has_writes
from tests.finetune_operator.reconcile.objects import finetune_job


def started(cluster: Cluster) -> Cluster:
    """Until the trainer runs."""
    cluster.reconcile()
    cluster.control_jobs()
    for _ in range(2):
        cluster.run_kubelet()
        cluster.wait(1)
    cluster.reconcile()
    return cluster


def ended(cluster: Cluster, outcome: Outcome) -> Cluster:
    """The trainer ends, and the operator hears of it."""
    cluster.end_trainer(outcome)
    cluster.reconcile()
    cluster.control_jobs()
    cluster.reconcile()
    return cluster


def test_it_is_said_what_for_before_anything_is_made() -> None:
    cluster = Cluster()
    plan = cluster.plan()
    assert plan.create == ()
    cluster.carry_out(plan)
    assert cluster.condition("Sized")["status"] == "True"
    plan = cluster.plan()
    assert [child["kind"] for child in plan.create] == ["PersistentVolumeClaim", "ConfigMap", "Job"]
    cluster.carry_out(plan)
    assert not has_writes(cluster.plan())
    assert cluster.phase() == "Starting"
    assert cluster.condition("Reconciling")["status"] == "False"
    assert cluster.condition("Complete")["status"] == "False"


def test_a_job_that_nothing_happens_to() -> None:
    cluster = started(Cluster())
    assert cluster.phase() == "Starting"
    poll = cluster.plan().poll
    assert poll is not None
    assert (poll.ip, poll.port) == ("10.0.0.7", 8090)
    cluster.train(40)
    cluster.reconcile()
    assert cluster.phase() == "Training"
    assert cluster.job is not None
    assert cluster.job["status"]["display"]["progress"] == "40%"
    cluster.wait(100)
    ended(cluster, Outcome.SUCCEEDED)
    status = cluster.job["status"]
    assert cluster.phase() == "Succeeded"
    assert cluster.condition("Complete")["status"] == "True"
    assert cluster.condition("Exported")["status"] == "True"
    assert cluster.condition("Trained")["status"] == "True"
    assert status["progress"]["step"] == status["progress"]["maxSteps"] == 100
    assert status["outputs"][0]["uri"] == "pvc://invoices-work/output"
    assert status["resolved"] == {"modelRevision": "c0ffee"}
    assert [reason for reason, _ in cluster.events] == ["Advice", "Starting", "Training", "Succeeded"]
    assert cluster.writes <= 12


def test_an_interruption_is_the_same_attempt() -> None:
    cluster = started(Cluster())
    cluster.train(30)
    cluster.reconcile()
    [pod] = cluster.running_pods()
    cluster.stop_pod(pod)
    cluster.reconcile()
    cluster.settle()
    [attempt] = cluster.attempts()
    assert cluster.phase() == "Succeeded"
    assert attempt["interruptions"] == 1
    assert attempt["resumedFromStep"] == 30
    assert "Interrupted" in [reason for reason, _ in cluster.events]


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.INTERNAL, Outcome.STALLED, Outcome.UNAVAILABLE])
def test_what_may_pass_is_tried_again_after_a_while(outcome: Outcome) -> None:
    cluster = started(Cluster())
    ended(cluster, outcome)
    assert cluster.phase() == "Pending"
    assert cluster.condition("Admitted")["reason"] == "BackOff"
    assert len(cluster.live_jobs()) == 0
    after = cluster.plan().after
    assert after is not None
    assert after.total_seconds() == 10
    cluster.wait(10)
    cluster.reconcile()
    assert [job["metadata"]["name"] for job in cluster.live_jobs()] == ["invoices-a2"]
    cluster.settle()
    assert cluster.phase() == "Succeeded"
    assert [attempt["outcome"] for attempt in cluster.attempts()] == [outcome, "Succeeded"]


def test_an_end_is_written_down_before_the_next_attempt_is_made() -> None:
    cluster = started(Cluster())
    cluster.end_trainer(Outcome.TRANSIENT)
    cluster.control_jobs()
    cluster.wait(100_000)  # the operator was away
    plan = cluster.plan()
    assert plan.create == ()
    cluster.carry_out(plan)
    assert [child["metadata"]["name"] for child in cluster.plan().create] == ["invoices-a2", "invoices-a2"]


def test_attempts_are_limited() -> None:
    cluster = Cluster(finetune_job(retry={"maxAttempts": 2}))
    for _ in range(2):
        started(cluster)
        ended(cluster, Outcome.TRANSIENT)
        cluster.wait(60)
    cluster.reconcile()
    assert cluster.phase() == "Failed"
    assert cluster.condition("Failed")["reason"] == "Transient"
    assert "all 2 attempts of spec.retry.maxAttempts used" in cluster.condition("Failed")["message"]
    assert cluster.condition("Stalled")["status"] == "True"
    assert cluster.condition("Reconciling")["status"] == "False"


def test_out_of_gpu_memory_halves_the_micro_batch_down_to_one() -> None:
    cluster = Cluster(finetune_job(training={"packing": False, "microBatchSize": 4}, retry={"maxAttempts": 9}))
    tried = []
    for _ in range(3):
        started(cluster)
        assert cluster.job is not None
        sizing = cluster.job["status"]["sizing"]
        tried.append((sizing["microBatchSize"], sizing["gradientAccumulationSteps"]))
        config = cluster.children[("ConfigMap", cluster.attempts()[-1]["jobName"])]["data"]["config.json"]
        assert f'"microBatchSize": {sizing["microBatchSize"]},' in config
        ended(cluster, Outcome.OUT_OF_GPU_MEMORY)
        cluster.wait(600)
    assert tried == [(4, 4), (2, 8), (1, 16)]
    assert cluster.phase() == "Failed"
    assert cluster.condition("Failed")["reason"] == "OutOfGPUMemory"
    assert cluster.job is not None
    assert cluster.job["status"]["advice"][0]["code"] == "OutOfGPUMemory"


@pytest.mark.parametrize(
    "outcome",
    [Outcome.BAD_DATA, Outcome.NOT_FOUND, Outcome.PERMISSION, Outcome.BAD_CONFIG, Outcome.DIVERGED],
)
def test_what_will_not_pass_ends_the_job_at_once(outcome: Outcome) -> None:
    cluster = started(Cluster())
    ended(cluster, outcome)
    assert cluster.phase() == "Failed"
    assert cluster.condition("Failed")["reason"] == outcome
    assert cluster.condition("Failed")["message"] == f"the trainer says {outcome}"
    assert len(cluster.attempts()) == 1
    assert cluster.events[-1] == (outcome, f"the trainer says {outcome} []")


def test_suspended_before_the_start_there_is_nothing() -> None:
    cluster = Cluster(finetune_job(suspend=True))
    cluster.reconcile()
    assert cluster.children == {}
    assert cluster.phase() == "Suspended"
    assert cluster.condition("Suspended")["status"] == "True"
    assert cluster.condition("Reconciling")["status"] == "False"
    cluster.edit(suspend=False)
    cluster.settle()
    assert cluster.phase() == "Succeeded"
    assert {c["observedGeneration"] for c in (cluster.job or {})["status"]["conditions"]} == {2}


def test_suspending_a_running_job_stops_its_pod_and_is_no_interruption() -> None:
    cluster = started(Cluster())
    cluster.train(30)
    cluster.reconcile()
    cluster.edit(suspend=True)
    cluster.reconcile()
    assert cluster.phase() == "Suspended"
    assert cluster.condition("Suspended")["reason"] == "Stopping"
    assert cluster.plan().poll is None
    for _ in range(3):
        cluster.control_jobs()
        cluster.run_kubelet()
        cluster.wait(1)
        cluster.reconcile()
    assert cluster.condition("Suspended")["status"] == "True"
    assert cluster.pods == {}
    cluster.edit(suspend=False)
    cluster.settle()
    [attempt] = cluster.attempts()
    assert cluster.phase() == "Succeeded"
    assert attempt.get("interruptions", 0) == 0
    assert attempt["resumedFromStep"] == 30


def test_a_job_deleted_by_hand_is_made_again_when_its_pod_has_stopped() -> None:
    cluster = started(Cluster())
    cluster.wait(60)
    cluster.delete("Job", "invoices-a1")
    cluster.reconcile()
    assert [attempt["outcome"] for attempt in cluster.attempts()] == ["Deleted"]
    cluster.wait(60)
    cluster.reconcile()
    assert cluster.condition("Admitted")["reason"] == "EarlierAttempt"
    cluster.settle()
    assert cluster.phase() == "Succeeded"
    assert [attempt["number"] for attempt in cluster.attempts()] == [1, 2]


def test_deleted_and_created_again_under_the_same_name() -> None:
    cluster = started(Cluster(finetune_job()))
    cluster.train(30)
    old = dict(cluster.children)
    cluster.job = finetune_job(uid="uid-2")
    for _ in range(2):
        cluster.reconcile()
        assert cluster.children == old, "nothing of the earlier job is touched"
        assert cluster.condition("Reconciling")["status"] == "True"
        assert cluster.condition("Admitted")["reason"] == "EarlierJob"
    for kind, name in list(cluster.children):
        cluster.delete(kind, name)
    cluster.settle()
    assert cluster.phase() == "Succeeded"
    assert "resumedFromStep" not in cluster.attempts()[0]


def test_another_jobs_retained_volume_is_never_adopted() -> None:
    cluster = Cluster(finetune_job(storage={"retain": True}))
    cluster.settle()
    assert cluster.phase() == "Succeeded"
    cluster.delete_job()
    assert [kind for kind, _ in cluster.children] == ["PersistentVolumeClaim"]
    cluster.job = finetune_job(uid="uid-2")
    cluster.pods.clear()
    cluster.reconcile()
    assert cluster.condition("Stalled")["reason"] == "ClaimConflict"
    assert "invoices-work" in cluster.condition("Stalled")["message"]
    assert cluster.phase() == "Pending"
    cluster.delete("PersistentVolumeClaim", "invoices-work")
    cluster.settle()
    assert cluster.phase() == "Succeeded"
    assert cluster.condition("Stalled")["status"] == "False"


def test_time_to_live() -> None:
    cluster = Cluster(finetune_job(ttlSecondsAfterFinished=3600))
    cluster.settle()
    after = cluster.plan().after
    assert after is not None
    assert 0 < after.total_seconds() <= 3600
    cluster.edit(ttlSecondsAfterFinished=60)
    cluster.reconcile()
    assert {c["observedGeneration"] for c in (cluster.job or {})["status"]["conditions"]} == {2}
    cluster.wait(61)
    assert cluster.plan().delete_job
    cluster.reconcile()
    assert cluster.job is None


def test_active_deadline_counts_anew_after_a_suspension() -> None:
    cluster = started(Cluster(finetune_job(activeDeadlineSeconds=600)))
    cluster.edit(suspend=True)
    for _ in range(4):
        cluster.reconcile()
        cluster.control_jobs()
        cluster.run_kubelet()
    cluster.wait(10_000)
    cluster.reconcile()
    assert cluster.phase() == "Suspended"
    cluster.edit(suspend=False)
    cluster.reconcile()
    assert cluster.phase() == "Starting"
    cluster.wait(599)
    cluster.reconcile()
    assert cluster.phase() == "Starting"
    cluster.wait(1)
    cluster.reconcile()
    assert cluster.phase() == "Failed"
    assert cluster.condition("Failed")["reason"] == "DeadlineExceeded"
    assert cluster.live_jobs() == []


def test_a_refused_child_is_said_and_tried_again() -> None:
    cluster = Cluster()
    cluster.refusal = "Job invoices-a1 was refused: exceeded quota"
    plan = cluster.reconcile()
    assert plan.create == ()
    assert cluster.phase() == "Pending"
    assert cluster.condition("Admitted")["message"] == cluster.refusal
    assert ("Refused", f"{cluster.refusal} [attempt 0]") in cluster.events
    cluster.refusal = None
    cluster.settle()
    assert cluster.phase() == "Succeeded"


def test_a_deleted_job_is_left_to_garbage_collection() -> None:
    cluster = started(Cluster())
    assert cluster.job is not None
    cluster.job["metadata"]["deletionTimestamp"] = "2026-01-01T13:00:00Z"
    assert not has_writes(cluster.plan())


def test_each_piece_of_advice_is_one_event() -> None:
    """All together would be cut off where an event ends."""
    cluster = Cluster(finetune_job(dataset={"format": "text"}, training={"maxSteps": 3, "warmupSteps": 3}))
    cluster.reconcile()
    assert cluster.job is not None
    advice = cluster.job["status"]["advice"]
    assert len(advice) > 3
    told = [message for reason, message in cluster.events if reason == "Advice"]
    assert told == [f"{each['code']}: {each['message']} []" for each in advice]
    assert max(len(message.encode()) for message in told) <= NOTE_LIMIT_BYTES
    cluster.reconcile()
    assert len([reason for reason, _ in cluster.events if reason == "Advice"]) == len(advice)
