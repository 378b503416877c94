"""Before a job is sized: a pod reads its inputs, and what is wrong with them is found before a GPU is taken."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.contract import Outcome
from tests.finetune_operator.reconcile.cluster import Cluster, has_writes
from tests.finetune_operator.reconcile.inspecting import created, given_shape, looked, names, read, reading, status
from tests.finetune_operator.reconcile.kubernetes import trains
from tests.finetune_operator.reconcile.objects import INSPECTION, finetune_job, gpu_node


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
