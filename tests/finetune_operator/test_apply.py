"""What is written to a real API server, and what its refusals are taken for."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from e2e.kubectl import Kubectl
from finetune_api.names import JOB_NAME_LABEL, MANAGED_BY, MANAGED_BY_LABEL
from finetune_operator import access
from finetune_operator.apply import Applier, RefusedError, StaleError
from finetune_operator.client import Client
from finetune_operator.kinds import CONFIG_MAP, FINE_TUNE_JOB
from finetune_operator.metrics import Metrics
from finetune_operator.reconcile.plan import Event, Key, Observed, Patch, Plan, Ref
from finetune_operator.store import Store
from tests.apiserver import ApiServer

pytestmark = pytest.mark.apiserver
NAMES = (f"apply-{number}" for number in itertools.count())
SPEC = {
    "model": {"source": "hf://example/model"},
    "method": "lora",
    "dataset": {"train": {"source": "hf://example/data"}},
}


@dataclass
class World:
    """One job in a namespace of its own, and what writes for it."""

    client: Client
    store: Store
    applier: Applier
    key: Key
    kubectl: Kubectl

    def seen(self) -> Observed:
        seen = self.store.observe(self.key)
        assert seen is not None
        return seen

    async def apply(self, plan: Plan) -> bool:
        entry = self.store.entry(FINE_TUNE_JOB, self.key)
        assert entry is not None
        return await self.applier.apply(self.seen(), plan, version=entry.version)

    def config_map(self, *, uid: str | None = None, **data: str) -> dict[str, Any]:
        job = self.seen().job
        owner = {"apiVersion": job["apiVersion"], "kind": job["kind"], "name": self.key.name, "controller": True}
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"{self.key.name}-a1",
                "labels": {MANAGED_BY_LABEL: MANAGED_BY, JOB_NAME_LABEL: self.key.name},
                "ownerReferences": [{**owner, "uid": uid or job["metadata"]["uid"]}],
            },
            "data": data,
        }

    def there(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.kubectl.get(kind, name)


Story = Callable[[World], Awaitable[None]]


@pytest.fixture
def tell(apiserver: ApiServer) -> Callable[[Story], None]:
    """Run a story in a world of its own."""
    namespace = next(NAMES)
    kubectl = apiserver.in_namespace(namespace)

    async def run(story: Story) -> None:
        async with Client(partial(access.read, apiserver.kubeconfig)) as client:
            store = Store()
            applier = Applier(client, store, Metrics(), lambda: datetime(2026, 3, 1, tzinfo=UTC), "test", OrderedDict())
            manifest = {
                "apiVersion": FINE_TUNE_JOB.api_version,
                "kind": FINE_TUNE_JOB.name,
                "metadata": {"name": "invoices"},
                "spec": SPEC,
            }
            store.put(FINE_TUNE_JOB, await client.create(FINE_TUNE_JOB, namespace, manifest))
            await story(World(client, store, applier, Key(namespace, "invoices"), kubectl))

    return lambda story: asyncio.run(run(story))


def test_the_answer_to_a_create_is_in_the_store_at_once(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        assert await world.apply(Plan(create=(world.config_map(a="b"),)))
        (found,) = world.seen().config_maps
        there = world.there("configmap", "invoices-a1")
        assert there is not None
        assert found["metadata"]["uid"] == there["metadata"]["uid"]

    tell(story)


def test_a_child_of_before_a_restart_is_taken_as_it_is(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        await world.client.create(CONFIG_MAP, world.key.namespace, world.config_map(a="first"))
        await world.apply(Plan(create=(world.config_map(a="second"),)))
        assert len(world.seen().config_maps) == 1
        assert world.there("configmap", "invoices-a1")["data"] == {"a": "first"}  # type: ignore[index]

    tell(story)


def test_a_child_of_an_earlier_job_is_shown_to_the_decision(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        await world.client.create(CONFIG_MAP, world.key.namespace, world.config_map(uid="earlier"))
        with pytest.raises(StaleError, match="earlier job's"):
            await world.apply(Plan(create=(world.config_map(),)))
        (found,) = world.seen().config_maps
        assert found["metadata"]["ownerReferences"][0]["uid"] == "earlier"

    tell(story)


def test_a_strangers_object_is_left_alone_and_named(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        world.kubectl("create", "configmap", "invoices-a1", "--from-literal=mine=1")
        with pytest.raises(RefusedError, match="invoices-a1 exists and is not this job's"):
            await world.apply(Plan(create=(world.config_map(),)))
        assert world.seen().config_maps == ()
        assert world.there("configmap", "invoices-a1")["data"] == {"mine": "1"}  # type: ignore[index]

    tell(story)


def test_a_quota_is_a_refusal_with_the_servers_sentence(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        world.kubectl("create", "quota", "none", "--hard=count/configmaps=0")
        # What the controller that does not run here would write.
        full = {"status": {"hard": {"count/configmaps": "0"}, "used": {"count/configmaps": "0"}}}
        world.kubectl("patch", "quota", "none", "--subresource=status", "--type=merge", "-p", json.dumps(full))
        with pytest.raises(RefusedError, match=r"ConfigMap invoices-a1 was refused: .*exceeded quota: none"):
            await world.apply(Plan(create=(world.config_map(),)))

    tell(story)


def test_nothing_after_a_refusal_is_written(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        invalid = {**world.config_map(), "data": {"not a key!": ""}}
        with pytest.raises(RefusedError, match="a valid config key"):
            await world.apply(Plan(create=(invalid,), status={"phase": "Starting"}))
        assert "phase" not in world.there("finetunejob", "invoices").get("status", {})  # type: ignore[union-attr]

    tell(story)


def test_a_status_is_written_once(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        status = {"phase": "Training", "observedGeneration": 1, "progress": {"step": 1, "loss": 2.0}}
        assert await world.apply(Plan(status=status))
        before = world.there("finetunejob", "invoices")
        assert not await world.apply(Plan(status=status))
        assert not await world.apply(Plan(status=None))
        assert world.there("finetunejob", "invoices") == before
        await world.apply(Plan(status={"phase": "Succeeded", "observedGeneration": 1}))
        after = world.there("finetunejob", "invoices")
        assert after is not None
        assert after["status"] == {"phase": "Succeeded", "observedGeneration": 1}

    tell(story)


def test_a_status_decided_from_an_older_object_is_not_written(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        world.kubectl("patch", "finetunejob", "invoices", "--type=merge", "-p", '{"spec": {"suspend": true}}')
        with pytest.raises(StaleError):
            await world.apply(Plan(status={"phase": "Training"}))
        # The next decision is made from what is so, although no watch has told of it.
        assert world.seen().job["spec"]["suspend"] is True
        await world.apply(Plan(status={"phase": "Suspended", "observedGeneration": 2}))

    tell(story)


def test_a_job_that_is_gone_is_forgotten(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        world.kubectl.delete("finetunejob", "invoices")
        with pytest.raises(StaleError):
            await world.apply(Plan(status={"phase": "Training"}))
        assert world.store.observe(world.key) is None

    tell(story)


def test_an_event_is_told_once_by_all_processes_together(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        plan = Plan(events=(Event("Normal", "Created", "attempt 1 was created", about="1"),))
        await world.apply(plan)
        await world.apply(plan)
        again = replace(world.applier, told=OrderedDict())
        entry = world.store.entry(FINE_TUNE_JOB, world.key)
        assert entry is not None
        await again.apply(world.seen(), plan, version=entry.version)
        events = world.kubectl.list("events.events.k8s.io")
        assert [(e["reason"], e["note"], e["type"]) for e in events] == [("Created", "attempt 1 was created", "Normal")]
        assert events[0]["regarding"]["uid"] == world.seen().job["metadata"]["uid"]

    tell(story)


def test_a_patch_and_a_delete_are_of_exactly_that_child(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        await world.apply(Plan(create=(world.config_map(a="1"),)))
        ref = Ref("ConfigMap", "invoices-a1", world.seen().config_maps[0]["metadata"]["uid"])
        await world.apply(Plan(patch=(Patch(ref, {"data": {"a": "2"}}),)))
        assert world.there("configmap", "invoices-a1")["data"] == {"a": "2"}  # type: ignore[index]

        other = replace(ref, uid="another")
        with pytest.raises(StaleError):
            await world.apply(Plan(patch=(Patch(other, {"data": {"a": "3"}}),)))
        await world.apply(Plan(delete=(other,)))
        assert world.there("configmap", "invoices-a1")["data"] == {"a": "2"}  # type: ignore[index]

        await world.apply(Plan(delete=(ref,)))
        assert world.there("configmap", "invoices-a1") is None
        assert world.seen().config_maps == ()
        await world.apply(Plan(delete=(ref,)))  # it is gone: as it should be

    tell(story)


def test_a_job_whose_time_is_over_is_deleted(tell: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        await world.apply(Plan(delete_job=True))
        assert world.there("finetunejob", "invoices") is None
        assert world.store.observe(world.key) is None

    tell(story)


def test_a_job_is_deleted_in_the_background(tell: Callable[[Story], None]) -> None:
    """A bare DELETE of a batch/v1 Job would add the orphan finalizer, and its pod would run on."""

    async def story(world: World) -> None:
        template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
        job = {**world.config_map(), "apiVersion": "batch/v1", "kind": "Job", "spec": {"template": template}}
        del job["data"]
        await world.apply(Plan(create=(job,)))
        ref = Ref("Job", "invoices-a1", world.seen().jobs[0]["metadata"]["uid"])
        await world.apply(Plan(delete=(ref,)))
        assert world.there("job", "invoices-a1") is None

    tell(story)
