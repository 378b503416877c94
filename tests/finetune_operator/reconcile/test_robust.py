"""Objects as they should not be: a decision never raises, and a job that has ended is never trained again."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_api.contract import Outcome
from finetune_operator.reconcile import reconcile
from finetune_operator.reconcile.plan import Observed
from finetune_operator.settings import Settings
from tests.finetune_operator.reconcile.cluster import Cluster, has_writes
from tests.finetune_operator.reconcile.objects import finetune_job
from tests.finetune_operator.reconcile.test_life import ended, started


def scenes() -> list[Cluster]:
    """Moments in the lives of jobs."""
    early, training, retried, done, suspended = (Cluster() for _ in range(5))
    early.reconcile()
    early.control_jobs()
    early.run_kubelet()
    started(training).train()
    training.reconcile()
    ended(started(retried), Outcome.TRANSIENT)
    done.settle()
    started(suspended).edit(suspend=True)
    suspended.reconcile()
    return [early, training, retried, done, suspended]


SCENES = [(cluster.observe(), cluster.now) for cluster in scenes()]
# What every object has; without it the store would not have taken it in.
KEPT = ("metadata", "name", "uid", "spec", "namespace", "creationTimestamp", "generation")


def mutilate(value: Any, draw: Any) -> Any:
    """The value without some of its parts."""
    if isinstance(value, dict):
        return {
            key: mutilate(inner, draw) for key, inner in value.items() if key in KEPT or draw(st.integers(0, 9)) > 0
        }
    if isinstance(value, list):
        return [mutilate(inner, draw) for inner in value if draw(st.integers(0, 9)) > 0]
    return value


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_parts_may_be_missing_anywhere(data: st.DataObject) -> None:
    seen, now = data.draw(st.sampled_from(SCENES))
    parts = ("job", "jobs", "pods", "claims", "config_maps")
    broken = replace(
        copy.deepcopy(seen), **{part: mutilate(copy.deepcopy(_plain(getattr(seen, part))), data.draw) for part in parts}
    )
    reconcile(broken, now=now, settings=Settings())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    "change",
    [
        {"newField": 1},
        {"phase": "SomethingNew"},
        {"sizing": {"accelerator": "Z9000"}},
        {"conditions": None},
        {"attempts": None},
        {"progress": {"unknown": 1}},
    ],
)
def test_a_job_that_another_version_finished_stays_finished(change: dict[str, Any]) -> None:
    cluster = Cluster()
    cluster.settle()
    assert cluster.job is not None
    cluster.job["status"] |= change
    cluster.children.clear()
    cluster.pods.clear()
    cluster.reconcile()
    assert cluster.phase() == "Succeeded"
    assert cluster.children == {}


def test_a_status_that_somebody_wiped_is_found_again() -> None:
    cluster = started(Cluster())
    ended(cluster, Outcome.TRANSIENT)
    cluster.wait(60)
    cluster.settle()
    assert cluster.job is not None
    before = cluster.job["status"]["outputs"]
    cluster.job["status"] = {}
    cluster.reconcile()
    assert cluster.phase() == "Succeeded"
    assert cluster.job["status"]["outputs"] == before
    assert [attempt["outcome"] for attempt in cluster.attempts()] == ["Transient", "Succeeded"]


def test_a_config_map_that_somebody_deleted_is_made_again() -> None:
    cluster = started(Cluster())
    config = cluster.children[("ConfigMap", "invoices-a1")]["data"]
    cluster.delete("ConfigMap", "invoices-a1")
    cluster.reconcile()
    assert cluster.children[("ConfigMap", "invoices-a1")]["data"] == config


def test_nothing_is_decided_twice_within_the_same_second() -> None:
    cluster = started(Cluster(finetune_job()))
    assert not has_writes(cluster.plan())
    assert cluster.plan() == reconcile(
        Observed(**{name: getattr(cluster.observe(), name) for name in Observed.__dataclass_fields__}),
        now=cluster.now.replace(microsecond=999_999),
        settings=cluster.settings,
    )
