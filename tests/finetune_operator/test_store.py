"""The store: the newest wins, the gone stay gone, and a decision sees exactly what bears on its job."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.status import Progress
from finetune_operator.kinds import CONFIG_MAP, FINE_TUNE_JOB, JOB, NODE, POD, Kind
from finetune_operator.reconcile.plan import Key
from finetune_operator.store import Store
from tests.finetune_operator.fakes import child, job

KEY = Key("team", "invoices")


@pytest.fixture
def store() -> Store:
    filled = Store()
    filled.put(FINE_TUNE_JOB, job(version=5))
    return filled


@pytest.mark.parametrize(
    ("version", "spec", "taken"),
    [
        (6, {"suspend": True}, True),
        (5, {}, False),  # the watch's echo of what was answered to our own write
        (6, {}, False),  # nothing that a decision reads
        (4, {"suspend": True}, False),  # the watch is behind the answer to our own write
        (10, {"suspend": True}, True),  # 10 is newer than 9: they are numbers
    ],
)
def test_the_newest_wins(store: Store, version: int, spec: dict[str, Any], taken: bool) -> None:
    assert store.put(FINE_TUNE_JOB, job(version=version, spec=spec)) is taken
    seen = store.observe(KEY)
    assert seen is not None
    assert seen.job["spec"] == (spec if taken else {})


def test_the_version_follows_even_where_nothing_else_does(store: Store) -> None:
    store.put(FINE_TUNE_JOB, job(version=7))
    entry = store.entry(FINE_TUNE_JOB, KEY)
    assert entry is not None
    assert entry.version == "7"


def test_what_is_gone_does_not_come_back_by_a_late_event(store: Store) -> None:
    store.put(CONFIG_MAP, child(version=6))
    assert store.remove(CONFIG_MAP, ("team", "invoices-a1"), "c1")
    assert not store.put(CONFIG_MAP, child(version=7))
    assert store.observe(KEY).config_maps == ()  # type: ignore[union-attr]
    assert store.put(CONFIG_MAP, child(uid="c2", version=8))


def test_a_late_deletion_spares_the_next_of_that_name(store: Store) -> None:
    store.put(FINE_TUNE_JOB, job(uid="u2", version=9))
    assert not store.remove(FINE_TUNE_JOB, KEY, "u1")
    assert store.observe(KEY) is not None


def test_children_are_those_of_the_name_of_any_uid(store: Store) -> None:
    store.put(JOB, child("Job", owner="u0", uid="c9", status={"active": 1}))
    store.put(POD, child("Pod", "invoices-a1-xyz", uid="p1", spec={}, status={"phase": "Running"}))
    stranger = child("Job", "other-a1", uid="c8")
    stranger["metadata"]["labels"]["finetune.dev/job-name"] = "other"
    store.put(JOB, stranger)
    seen = store.observe(KEY)
    assert seen is not None
    assert [j["metadata"]["uid"] for j in seen.jobs] == ["c9"]
    assert [p["status"]["phase"] for p in seen.pods] == ["Running"]
    assert store.observe(Key("team", "other")) is None


def writer(name: str, uid: str, *, path: str = "models/a", namespace: str = "team") -> dict[str, Any]:
    output = {"destinations": [{"pvc": {"claimName": "shared", "path": path}}]}
    found = job(name, uid=uid, spec={"output": output})
    found["metadata"]["namespace"] = namespace
    return found


def test_rivals_write_to_the_same_place() -> None:
    store = Store()
    for given in (
        writer("invoices", "u1"),
        writer("rival", "u2"),
        writer("elsewhere", "u3", path="models/b"),
        writer("far", "u4", namespace="other"),
    ):
        store.put(FINE_TUNE_JOB, given)

    def rivals() -> list[str]:
        seen = store.observe(KEY)
        assert seen is not None
        return [rival["metadata"]["name"] for rival in seen.rivals]

    assert rivals() == ["rival"]
    store.remove(FINE_TUNE_JOB, ("team", "rival"), "u2")
    assert rivals() == []


def test_progress_is_of_one_job_and_not_of_the_next_of_its_name(store: Store) -> None:
    progress = Progress(step=3)
    assert store.set_progress(KEY, "u1", progress)
    assert not store.set_progress(KEY, "u1", Progress(step=3))
    assert store.observe(KEY).progress == progress  # type: ignore[union-attr]
    store.put(FINE_TUNE_JOB, job(uid="u2", version=9))
    assert store.observe(KEY).progress is None  # type: ignore[union-attr]


def test_what_is_observed_is_a_copy(store: Store) -> None:
    first = store.observe(KEY)
    assert first is not None
    first.job["spec"]["suspend"] = True
    assert store.observe(KEY).job["spec"] == {}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        (CONFIG_MAP, {"data": {"config.json": "{}"}}, {}),
        (
            JOB,
            {"spec": {"suspend": True, "template": {"spec": {}}}, "status": {"active": 1}},
            {"spec": {"suspend": True}, "status": {"active": 1}},
        ),
        (
            POD,
            {"spec": {"nodeName": "n", "containers": [{}]}, "status": {"podIP": "10.0.0.1"}},
            {"spec": {"nodeName": "n"}, "status": {"podIP": "10.0.0.1"}},
        ),
        (
            NODE,
            {
                "spec": {"unschedulable": True, "podCIDR": "10.0.0.0/8"},
                "status": {
                    "allocatable": {"cpu": "8"},
                    "images": [{"names": ["x"]}],
                    "conditions": [
                        {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"},
                        {"type": "DiskPressure", "status": "False"},
                    ],
                },
            },
            {
                "spec": {"unschedulable": True},
                "status": {"allocatable": {"cpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]},
            },
        ),
    ],
)
def test_only_what_decisions_read_is_kept(kind: Kind, given: dict[str, Any], kept: dict[str, Any]) -> None:
    store = Store()
    obj = {**child(kind.name), **given}
    obj["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    obj["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "own": "yes"}
    store.put(kind, obj)
    found = store.entries(kind)[0].read()
    metadata = found.pop("metadata")
    assert {name: value for name, value in found.items() if name not in ("apiVersion", "kind")} == kept
    assert "managedFields" not in metadata
    assert kind == NODE or metadata["annotations"] == {"own": "yes"}
