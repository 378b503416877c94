"""Whatever happens in whatever order, and whenever the operator dies: the job comes to its right end."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from finetune_api.contract import Outcome
from finetune_api.names import ACCELERATOR_LABEL
from tests.finetune_operator.reconcile.cluster import Cluster, has_writes
from tests.finetune_operator.reconcile.kubernetes import TERMINAL, trains
from tests.finetune_operator.reconcile.objects import gpu_node, new_job

PASSING = (Outcome.TRANSIENT, Outcome.INTERNAL, Outcome.STALLED, Outcome.OUT_OF_GPU_MEMORY, Outcome.INTERRUPTED)


class AnyOrder(RuleBasedStateMachine):
    """The cluster asserts by itself that no attempt is created while another lives."""

    def __init__(self) -> None:
        super().__init__()
        job = new_job(training={"packing": False}, retry={"maxAttempts": 6})
        self.cluster = Cluster(job)
        self.end: object = None

    @property
    def running(self) -> bool:
        return bool(self.cluster.running_pods())

    @rule()
    def the_operator_looks(self) -> None:
        self.cluster.carry_out(self.cluster.plan())

    @rule(writes=st.integers(0, 4))
    def the_operator_dies(self, writes: int) -> None:
        self.cluster.carry_out(self.cluster.plan(), writes=writes)

    @rule()
    def the_job_controller_looks(self) -> None:
        self.cluster.control_jobs()

    @rule()
    def the_kubelet_works(self) -> None:
        self.cluster.run_kubelet()

    @rule(seconds=st.sampled_from([1, 20, 700]))
    def time_passes(self, seconds: int) -> None:
        self.cluster.wait(seconds)

    @precondition(lambda self: self.running)
    @rule()
    def the_trainer_trains(self) -> None:
        self.cluster.train()

    @precondition(lambda self: self.running)
    @rule(outcome=st.sampled_from([*PASSING, Outcome.SUCCEEDED, Outcome.BAD_DATA]))
    def the_trainer_ends(self, outcome: Outcome) -> None:
        self.cluster.end_trainer(outcome)

    @precondition(lambda self: self.running)
    @rule(disrupted=st.booleans())
    def the_trainer_is_killed(self, disrupted: bool) -> None:
        self.cluster.end_pod(self.cluster.running_pods()[0], None, code=137, disrupted=disrupted)

    @precondition(lambda self: self.cluster.live_pods() and not self.running)
    @rule()
    def the_node_refuses_the_pod(self) -> None:
        pod = self.cluster.live_pods()[0]
        pod["status"] = {"phase": "Failed", "reason": "UnexpectedAdmissionError"}

    @precondition(lambda self: self.cluster.live_pods())
    @rule()
    def the_pod_vanishes(self) -> None:
        del self.cluster.pods[self.cluster.live_pods()[0]["metadata"]["name"]]

    @precondition(lambda self: self.cluster.live_pods())
    @rule()
    def the_pod_is_deleted(self) -> None:
        self.cluster.stop_pod(self.cluster.live_pods()[0])

    @precondition(lambda self: self.cluster.live_jobs())
    @rule()
    def the_job_is_deleted_by_hand(self) -> None:
        self.cluster.delete("Job", self.cluster.live_jobs()[0]["metadata"]["name"])

    @rule(gpu=st.booleans())
    def the_nodes_change(self, gpu: bool) -> None:
        self.cluster.nodes = [gpu_node()] if gpu else []

    @rule(suspend=st.booleans())
    def the_user_suspends(self, suspend: bool) -> None:
        self.cluster.edit(suspend=suspend)

    @invariant()
    def one_live_attempt(self) -> None:
        assert len(self.cluster.live_jobs()) <= 1
        assert len([pod for pod in self.cluster.live_pods() if trains(pod)]) <= 1

    @invariant()
    def reasons_are_words(self) -> None:
        assert all(re.fullmatch("[A-Z][A-Za-z]+", reason) for reason, _ in self.cluster.events)

    @invariant()
    def what_it_runs_on_is_settled_once(self) -> None:
        children = [child for child in (*self.cluster.of("Job"), *self.cluster.of("ConfigMap")) if trains(child)]
        kinds = {child["metadata"]["labels"][ACCELERATOR_LABEL] for child in children}
        assert len(kinds) <= 1
        for child in [child for child in children if child["kind"] == "ConfigMap"]:
            assert (device_of(child) == "cpu") == (kinds == {"cpu"})
        if self.cluster.attempts() and kinds:
            assert self.cluster.job is not None
            assert {self.cluster.job["status"]["sizing"]["accelerator"]} == kinds

    @invariant()
    def an_end_is_an_end(self) -> None:
        if self.cluster.job is not None and self.cluster.phase() in TERMINAL:
            status = copy.deepcopy(self.cluster.job["status"])
            del status["observedGeneration"], status["conditions"]
            assert self.end in (None, status)
            self.end = status

    def teardown(self) -> None:
        """Left alone, every job comes to an end, and then nothing is written any more."""
        cluster = self.cluster
        cluster.edit(suspend=False)
        cluster.settle()
        assert cluster.phase() in TERMINAL, cluster.job
        counted = [a for a in cluster.attempts() if a["outcome"] not in ("NodeLost", "Interrupted")]
        assert len(counted) <= 6
        assert all(attempt["finishTime"] for attempt in cluster.attempts())
        assert [attempt["number"] for attempt in cluster.attempts()] == list(range(1, len(cluster.attempts()) + 1))
        writes = cluster.writes
        for _ in range(3):
            cluster.wait(10_000)
            cluster.reconcile()
            cluster.control_jobs()
        assert cluster.writes == writes
        assert cluster.live_jobs() == []


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def interrupted(cluster: Cluster) -> None:
    cluster.train(30)
    for pod in cluster.running_pods():
        cluster.stop_pod(pod)


def out_of_memory(cluster: Cluster) -> None:
    if len(cluster.attempts()) < 2:
        cluster.end_trainer(Outcome.OUT_OF_GPU_MEMORY)


def suspended(cluster: Cluster) -> None:
    cluster.edit(suspend=True)
    cluster.carry_out(cluster.plan())
    for _ in range(3):
        cluster.control_jobs()
        cluster.run_kubelet()
    cluster.edit(suspend=False)


def nothing(cluster: Cluster) -> None:
    cluster.train(30)


def life(incident: Callable[[Cluster], None], *, dies_at: int | None) -> tuple[Cluster, int]:
    """A life with one incident, in which the operator dies just before its write number `dies_at`."""
    cluster = Cluster(new_job(training={"packing": False}))
    written = 0

    def look() -> None:
        nonlocal written
        plan = cluster.plan()
        before = cluster.writes
        left = dies_at - written if dies_at is not None and dies_at >= written else None
        cluster.carry_out(plan, writes=left)
        written += cluster.writes - before
        if left is not None and written == dies_at:
            cluster.carry_out(cluster.plan())  # the next operator begins anew

    def world() -> None:
        look()
        cluster.control_jobs()
        look()
        cluster.run_kubelet()
        look()
        if any(not trains(pod) for pod in cluster.running_pods()):
            cluster.end_trainer(Outcome.SUCCEEDED)

    for turn in range(34):
        world()
        if turn == 8:
            incident(cluster)
        if turn > 19 and cluster.phase() not in TERMINAL:
            cluster.end_trainer(Outcome.SUCCEEDED)
        cluster.wait(20)
    return cluster, written


def end_of(cluster: Cluster) -> object:
    """What must be the same however the operator fared: all but the moments at which it looked."""
    assert cluster.job is not None
    status = copy.deepcopy(cluster.job["status"])
    for condition in status["conditions"]:
        del condition["lastTransitionTime"]
    return status, sorted(cluster.children)


@pytest.mark.parametrize("incident", [nothing, interrupted, out_of_memory, suspended])
def test_a_crash_before_any_write_changes_nothing(incident: Callable[[Cluster], None]) -> None:
    undisturbed, writes = life(incident, dies_at=None)
    assert undisturbed.phase() == "Succeeded"
    assert writes > 5
    for dies_at in range(writes):
        disturbed, _ = life(incident, dies_at=dies_at)
        assert end_of(disturbed) == end_of(undisturbed), f"died before write {dies_at}"
        assert len(set(disturbed.events)) == len(disturbed.events), "nothing is told twice"
        assert set(disturbed.events) <= set(undisturbed.events)


def device_of(config_map: dict[str, Any]) -> str:
    """What the trainer is told to train on."""
    return str(json.loads(config_map["data"]["config.json"])["accelerator"])


@pytest.mark.parametrize("after", [[], [gpu_node("NVIDIA-H100-80GB-HBM3")]])
@pytest.mark.parametrize("writes", [0, 1, 2, 3, 4])
def test_what_it_runs_on_survives_a_crash_and_a_change_of_nodes(writes: int, after: list[dict[str, Any]]) -> None:
    cluster = Cluster(nodes=(gpu_node("NVIDIA-L4"),))  # its inputs have been read
    cluster.carry_out(cluster.plan())  # the sizing, into status
    cluster.carry_out(cluster.plan(), writes=writes)
    cluster.nodes = after
    cluster.reconcile()
    [job] = cluster.live_jobs()
    [config] = cluster.of("ConfigMap")
    accelerator = job["metadata"]["labels"][ACCELERATOR_LABEL]
    assert cluster.job is not None
    assert cluster.job["status"]["sizing"]["accelerator"] == accelerator
    assert config["metadata"]["labels"][ACCELERATOR_LABEL] == accelerator
    assert (device_of(config) == "cpu") == (accelerator == "cpu")
    assert accelerator == "L4" or writes < 2, "what was begun goes on as it was"


def test_a_plan_that_was_carried_out_leaves_nothing_to_do() -> None:
    cluster = Cluster()
    for _ in range(40):
        cluster.reconcile()
        assert not has_writes(cluster.plan())
        cluster.control_jobs()
        cluster.run_kubelet()
        cluster.train(10)
        cluster.wait(3)
    cluster.settle()
