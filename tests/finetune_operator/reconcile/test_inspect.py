"""Before a job is sized: a pod reads its inputs, and what is wrong with them is found before a GPU is taken."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from finetune_api.contract import Outcome
from finetune_operator.reconcile.inspect import MEMORY
from finetune_operator.settings import LimitSettings
from tests.finetune_operator.reconcile.cluster import Cluster, has_writes
from tests.finetune_operator.reconcile.kubernetes import trains
from tests.finetune_operator.reconcile.objects import INSPECTION, finetune_job, gpu_node, new_job

START_DEADLINE = LimitSettings().start_deadline_seconds
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


def test_the_first_look_makes_the_pod_and_nothing_else() -> None:
    cluster = created()
    plan = cluster.plan()
    assert [(child["kind"], child["metadata"]["name"]) for child in plan.create] == [
        ("ConfigMap", "invoices-inspect"),
        ("Job", "invoices-inspect"),
    ]
    cluster.carry_out(plan)
    assert not has_writes(cluster.plan())
    assert cluster.phase() == "Pending"
    assert cluster.condition("Sized") | {"lastTransitionTime": ""} == {
        "type": "Sized",
        "status": "Unknown",
        "reason": "Inspecting",
        "message": "a pod reads the model and the data",
        "observedGeneration": 1,
        "lastTransitionTime": "",
    }
    assert cluster.condition("Reconciling")["status"] == "True"
    assert cluster.attempts() == []
    assert "sizing" not in status(cluster)


def test_what_was_read_stands_in_status_and_the_first_attempt_begins() -> None:
    cluster = read(created())
    assert status(cluster)["inspection"] == INSPECTION
    assert status(cluster)["resolved"] == {"modelRevision": "c0ffee"}
    assert names(cluster) == ["invoices-a1", "invoices-inspect"]
    assert cluster.condition("Sized")["status"] == "True"
    assert cluster.condition("Reconciling")["status"] == "False"
    cluster.settle()
    assert cluster.phase() == "Succeeded"
    assert [attempt["number"] for attempt in cluster.attempts()] == [1]


def test_reading_costs_three_writes_more() -> None:
    cluster = read(created())
    without = looked(Cluster(finetune_job()))
    assert cluster.writes - without.writes == 3, "its ConfigMap, its Job, and the status that says so"


def test_progress_is_not_asked_for_and_nothing_is_counted() -> None:
    cluster = reading(created())
    assert cluster.plan().poll is None
    assert "cost" not in status(cluster)
    assert "startTime" not in status(cluster)
    assert cluster.events == []


@pytest.mark.parametrize("outcome", [Outcome.BAD_DATA, Outcome.NOT_FOUND, Outcome.PERMISSION, Outcome.BAD_CONFIG])
@pytest.mark.parametrize("make", [created, given_shape])
def test_what_no_second_try_mends_fails_the_job(outcome: Outcome, make: Any) -> None:
    cluster = read(make(), outcome)
    assert cluster.phase() == "Failed"
    for kind in ("Failed", "Stalled"):
        assert cluster.condition(kind)["reason"] == outcome
        assert cluster.condition(kind)["message"] == f"the trainer says {outcome}"
    assert cluster.condition("Sized")["status"] == "False"
    assert cluster.attempts() == []
    assert names(cluster, "PersistentVolumeClaim") == []
    assert cluster.events[-1] == (outcome, f"the trainer says {outcome} []")


PASSING = [Outcome.UNAVAILABLE, Outcome.TRANSIENT, Outcome.INTERNAL, Outcome.STALLED]


@pytest.mark.parametrize("outcome", PASSING)
def test_what_may_pass_is_tried_again_and_said(outcome: Outcome) -> None:
    cluster = read(created(), outcome, times=2)
    assert cluster.phase() == "Pending"
    assert cluster.condition("Sized")["reason"] == outcome
    assert cluster.condition("Sized")["message"] == f"the trainer says {outcome}; it is tried again"
    assert [reason for reason, _ in cluster.events] == [outcome]
    read(cluster)
    assert names(cluster) == ["invoices-a1", "invoices-inspect"]


@pytest.mark.parametrize("outcome", PASSING)
def test_at_last_the_job_fails_and_says_what_to_write(outcome: Outcome) -> None:
    cluster = read(created(), outcome, times=5)
    assert cluster.phase() == "Failed"
    message = cluster.condition("Failed")["message"]
    assert f"the trainer says {outcome}" in message
    assert "spec.model.architecture" in message
    assert cluster.condition("Sized")["status"] == "False"


@pytest.mark.parametrize("outcome", PASSING)
def test_a_model_that_is_known_otherwise_is_trained_without(outcome: Outcome) -> None:
    cluster = read(given_shape(), outcome, times=5)
    assert status(cluster)["inspection"] == {"failure": f"the trainer says {outcome}"}
    assert names(cluster) == ["invoices-a1", "invoices-inspect"]
    assert ("NotInspected", f"the job goes on without having read its inputs: the trainer says {outcome} []") in (
        cluster.events
    )
    cluster.settle()
    assert cluster.phase() == "Succeeded"


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
        ({"outcome": Outcome.INTERRUPTED}, "Interrupted", "the trainer says Interrupted; it is tried again"),
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


def test_suspended_before_the_start_nothing_is_read() -> None:
    cluster = looked(created(suspend=True))
    assert cluster.children == {}
    assert cluster.phase() == "Suspended"
    assert cluster.condition("Suspended")["status"] == "True"
    assert cluster.condition("Sized")["reason"] == "Suspended"
    cluster.edit(suspend=False)
    cluster.settle()
    assert cluster.phase() == "Succeeded"


def test_suspended_while_it_reads_the_pod_stops_and_begins_anew() -> None:
    cluster = reading(created())
    cluster.edit(suspend=True)
    looked(cluster)
    assert cluster.condition("Suspended")["reason"] == "Stopping"
    for _ in range(3):
        cluster.control_jobs()
        cluster.run_kubelet()
        looked(cluster)
    assert cluster.pods == {}
    assert cluster.condition("Suspended")["status"] == "True"
    cluster.edit(suspend=False)
    looked(cluster)
    assert cluster.phase() == "Pending"
    cluster.settle()
    assert cluster.phase() == "Succeeded"


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


def test_a_job_that_had_begun_before_is_not_inspected() -> None:
    cluster = looked(Cluster(finetune_job()))
    assert cluster.job is not None
    del cluster.job["status"]["inspection"]  # as an older version would have left it
    cluster.settle()
    assert cluster.phase() == "Succeeded"
    assert "inspection" not in status(cluster)
    assert not [child for child in cluster.of("Job") if not trains(child)]


def test_a_kind_that_there_is_not_is_said_before_any_pod() -> None:
    cluster = looked(created(resources={"accelerator": "H9000"}))
    assert cluster.children == {}
    assert cluster.condition("Failed")["reason"] == "NothingFits"
    assert "H9000" in cluster.condition("Failed")["message"]
    assert cluster.condition("Sized")["status"] == "False"


def test_a_kind_that_nodes_have_and_the_table_does_not_is_said_with_its_row() -> None:
    cluster = created(resources={"accelerator": "X9000"})
    cluster.nodes = [gpu_node("NVIDIA-X9000", name=name) for name in ("one", "two")]
    looked(cluster)
    message = cluster.condition("Failed")["message"]
    assert 'there is no kind "X9000"' in message
    assert message.count("add a row with products: [NVIDIA-X9000]") == 1, "nodes of a kind are said once"


def test_a_crash_between_the_first_attempt_and_its_status_loses_nothing() -> None:
    cluster = reading(created())
    cluster.end_trainer(Outcome.SUCCEEDED)
    cluster.control_jobs()
    cluster.carry_out(cluster.plan())  # what was read, into status
    cluster.carry_out(cluster.plan(), writes=3)
    assert "attempts" not in status(cluster)
    looked(cluster)
    assert status(cluster)["inspection"] == INSPECTION
    assert [attempt["number"] for attempt in cluster.attempts()] == [1]


def test_a_job_that_ends_meanwhile_takes_the_pod_with_it() -> None:
    cluster = reading(created())
    assert cluster.job is not None
    cluster.job["status"]["phase"] = "Failed"
    looked(cluster)
    assert cluster.live_jobs() == []
