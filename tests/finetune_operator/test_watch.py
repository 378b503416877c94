"""What the watch tells of: which jobs are looked at because of it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from finetune_operator.kinds import CLAIM, FINE_TUNE_JOB, NODE, POD
from finetune_operator.queue import Queue
from finetune_operator.reconcile.plan import Key
from finetune_operator.store import Store
from finetune_operator.watch import Watch
from tests.finetune_operator.fakes import FakeClock, child, job

KEY = Key("team", "invoices")


def node(ready: str, *, version: int, name: str = "n1") -> dict[str, Any]:
    """A node, which also says every few seconds that it is alive."""
    heartbeat = {"type": "Ready", "status": ready, "lastHeartbeatTime": str(version)}
    metadata = {"name": name, "uid": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {}, "status": {"conditions": [heartbeat]}}


def waiting(sentence: str, *, version: int) -> dict[str, Any]:
    """A pod that the scheduler has no node for."""
    condition = {"type": "PodScheduled", "status": "False", "message": sentence}
    status = {"phase": "Pending", "conditions": [condition]}
    return child("Pod", "invoices-a1-y", uid="y", version=version, spec={}, status=status)


@pytest.fixture
def queue() -> Queue:
    return Queue(clock=FakeClock(), random=Random(0))


@pytest.fixture
def watch(queue: Queue) -> Watch:
    """A job with a pod on n1; all that is settled."""
    store = Store()
    store.put(FINE_TUNE_JOB, job())
    spec = {"nodeName": "n1", "containers": [{}]}
    store.put(POD, child("Pod", "invoices-a1-x", spec=spec, status={"phase": "Running"}))
    store.put(POD, waiting("0/1 nodes are available", version=9))
    store.put(NODE, node("True", version=10))
    store.put(NODE, node("True", version=10, name="n11"))
    return Watch(store=store, queue=queue)


@pytest.mark.parametrize(
    ("kind", "type_", "obj", "looked_at"),
    [
        (NODE, "MODIFIED", node("Unknown", version=11), True),
        (NODE, "MODIFIED", node("True", version=11), False),  # a heartbeat
        (NODE, "MODIFIED", node("Unknown", version=11, name="n11"), False),  # another's node
        (NODE, "DELETED", node("Unknown", version=11), True),
        (POD, "MODIFIED", waiting("0/2 nodes are available", version=11), True),
        (POD, "MODIFIED", waiting("0/1 nodes are available", version=11), False),
        (CLAIM, "ADDED", child("PersistentVolumeClaim", "invoices-work", uid="p", version=12), True),
        (CLAIM, "DELETED", child("PersistentVolumeClaim", "never-seen", uid="p", version=12), False),
        (FINE_TUNE_JOB, "MODIFIED", job(version=13, spec={"suspend": True}), True),
    ],
)
def test_who_is_looked_at(watch: Watch, queue: Queue, kind: Any, type_: str, obj: Any, looked_at: bool) -> None:
    watch.event(kind, type_, obj)
    assert len(queue) == int(looked_at)
