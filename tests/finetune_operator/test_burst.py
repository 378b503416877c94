"""Jobs that come together: each is sized for what the others leave."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import pytest

from finetune_api.names import ATTEMPT_LABEL, JOB_NAME_LABEL, JOB_UID_LABEL
from finetune_operator.apply import Applier
from finetune_operator.client import UnreachableError
from finetune_operator.kinds import FINE_TUNE_JOB, NODE, POD
from finetune_operator.metrics import Metrics
from finetune_operator.occupancy import Occupancy
from finetune_operator.progress import Poller
from finetune_operator.queue import Queue
from finetune_operator.reconcile import reconcile
from finetune_operator.reconcile.plan import Key, Observed, Plan
from finetune_operator.settings import Settings
from finetune_operator.sizing.cluster.offers import NodesToCome
from finetune_operator.sizing.cluster.usage import Usage, requested
from finetune_operator.store import Store
from finetune_operator.worker import Workers
from tests.finetune_operator.fakes import FakeClock
from tests.finetune_operator.reconcile.objects import START, finetune_job, merged
from tests.finetune_operator.sizing.cluster.objects import gpu_pod, node


@dataclass
class World:
    """One L4 and four A100, all free; workers that decide, and an API server that answers when all of them have."""

    settings: Settings = field(default_factory=Settings)
    store: Store = field(default_factory=Store)
    others: Usage = field(default_factory=dict)
    answers: bool = True
    expected: int = 0
    decided: int = 0
    answered: int = 0
    version: int = 0

    def __post_init__(self) -> None:
        self.queue = Queue(clock=FakeClock(), random=Random(1))
        self.workers = Workers(
            decide=reconcile,
            store=self.store,
            queue=self.queue,
            applier=cast(Applier, self),
            poller=cast(Poller, self),
            occupancy=cast(Occupancy, self),
            metrics=Metrics(),
            settings=self.settings,
            now=lambda: START,
            time=lambda: 0.0,
        )
        for name, product, gpus in (("l4", "NVIDIA-L4", 1), ("a100", "NVIDIA-A100-SXM4-80GB", 4)):
            given = node(name, product, gpus=gpus)
            self.store.put(NODE, merged(given, {"metadata": {"uid": name, "resourceVersion": "1"}}))

    async def look(self, nodes: list[str]) -> Usage:
        return self.others

    def want(self, *_: object) -> None:
        """Nothing is polled."""

    async def apply(self, seen: Observed, plan: Plan, *, version: str) -> bool:
        self.decided += 1
        while self.decided < self.expected:
            await asyncio.sleep(0)
        self.answered += 1
        if not self.answers:
            raise UnreachableError("no answer")
        self.write({**seen.job, "status": plan.status})
        return False

    async def decide(self, *keys: Key) -> None:
        """Each by a worker of its own, before the API server answers any of them."""
        self.expected, self.decided, self.answered = len(keys), 0, 0
        for key in keys:
            self.queue.add(key)
        workers = [asyncio.create_task(self.workers.run()) for _ in keys]
        while self.answered < len(keys):
            await asyncio.sleep(0)
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)

    def write(self, job: Mapping[str, Any]) -> None:
        """As the API server tells of it."""
        self.version += 1
        self.store.put(FINE_TUNE_JOB, merged(job, {"metadata": {"resourceVersion": str(self.version)}}))

    def submit(self, name: str) -> Key:
        """A job whose inputs have been read."""
        self.write(finetune_job(name, uid=f"uid-{name}"))
        return Key("default", name)

    def change(self, key: Key, changes: Mapping[str, Any]) -> None:
        entry = self.store.entry(FINE_TUNE_JOB, key)
        assert entry is not None
        self.write(merged(entry.read(), changes))

    def bind(self, key: Key, on: str, *, phase: str = "Running") -> None:
        """The pod of the job's first attempt, with one GPU of a node."""
        labels = {JOB_NAME_LABEL: key.name, JOB_UID_LABEL: f"uid-{key.name}", ATTEMPT_LABEL: "1"}
        metadata = {"namespace": key.namespace, "name": f"{key.name}-a1-x", "uid": "pod", "resourceVersion": "1"}
        self.store.put(POD, {"metadata": metadata | {"labels": labels}, **gpu_pod(1, on=on, phase=phase)})

    def kind(self, key: Key) -> str:
        """What the job has been sized for."""
        entry = self.store.entry(FINE_TUNE_JOB, key)
        assert entry is not None
        return str(entry.read()["status"]["sizing"]["accelerator"])


def run(story: Callable[[World], Coroutine[Any, Any, None]], settings: Settings | None = None) -> None:
    asyncio.run(story(World(settings or Settings())))


def test_decided_at_once_they_share_what_is_free() -> None:
    async def story(world: World) -> None:
        keys = [world.submit(f"job-{number}") for number in range(5)]
        await world.decide(*keys)
        assert Counter(world.kind(key) for key in keys) == {"L4": 1, "A100-80GB": 4}
        # each is decided again before it begins, and finds what it has been given still its own
        before = [world.kind(key) for key in keys]
        await world.decide(*keys)
        assert [world.kind(key) for key in keys] == before

    run(story)


def test_the_next_waits_when_nothing_is_left() -> None:
    async def story(world: World) -> None:
        await world.decide(*(world.submit(f"job-{number}") for number in range(5)))
        late = world.submit("late")
        await world.decide(late)
        [job] = [job for job in world.store.jobs() if job["metadata"]["name"] == "late"]
        assert job["status"]["sizing"]["notes"] == [
            "nothing that fits is free now; it waits for 1x L4: l4 has 0 of 1 free"
        ]

    run(story)


def test_a_new_process_knows_what_the_last_one_decided() -> None:
    async def story(world: World) -> None:
        await world.decide(world.submit("first"))
        after = World()
        for job in world.store.jobs():
            after.write(job)
        second = after.submit("second")
        await after.decide(second)
        assert after.kind(second) == "A100-80GB"

    run(story)


def test_what_others_hold_is_not_given_to_those_that_wait() -> None:
    async def story(world: World) -> None:
        world.others = requested([gpu_pod(1, on="l4"), gpu_pod(3, on="a100")])
        first, second = world.submit("first"), world.submit("second")
        await world.decide(first, second)
        assert [world.kind(first), world.kind(second)] == ["A100-80GB", "L4"]  # the second waits for the cheaper one

    run(story)


def test_nodes_that_are_to_be_added_are_given_once() -> None:
    async def story(world: World) -> None:
        keys = [world.submit(f"job-{number}") for number in range(4)]
        await world.decide(*keys)
        assert Counter(world.kind(key) for key in keys) == {"L4": 3, "A100-80GB": 1}

    run(story, Settings(nodes_to_come=[NodesToCome(accelerator="L4", count=2, nodes=2)]))


ADMITTED = {"type": "Admitted", "status": "False"}


@pytest.mark.parametrize(
    ("bound", "changes", "next_one"),
    [
        (None, {}, "A100-80GB"),
        ("Running", {}, "A100-80GB"),
        ("Running", {"spec": {"suspend": True}}, "A100-80GB"),  # until its checkpoint is written
        ("Running", {"status": {"phase": "Failed"}}, "A100-80GB"),  # until its pod is gone
        ("Pending", {}, "A100-80GB"),  # it has the node, and pulls its image
        ("Succeeded", {"status": {"phase": "Succeeded"}}, "L4"),
        ("Failed", {}, "A100-80GB"),  # it will be tried again
        (None, {"status": {"phase": "Failed"}}, "L4"),
        (None, {"spec": {"suspend": True}}, "L4"),
        (None, {"metadata": {"deletionTimestamp": "2026-01-01T12:00:00Z"}}, "L4"),
        (None, {"status": {"conditions": [{**ADMITTED, "reason": "Unschedulable"}]}}, "A100-80GB"),
        (None, {"status": {"conditions": [{**ADMITTED, "reason": "NoPod"}]}}, "L4"),  # a quota, for one
        (None, {"status": {"conditions": [{**ADMITTED, "reason": "Refused"}]}}, "L4"),
        (None, {"spec": {"podTemplate": {"nodeSelector": {"zone": "b"}}}}, "L4"),  # there is no such L4
        (None, {"spec": {"podTemplate": {"tolerations": "all"}}}, "L4"),  # it is about to be refused
    ],
)
def test_what_the_job_before_leaves(bound: str | None, changes: dict[str, Any], next_one: str) -> None:
    async def story(world: World) -> None:
        first = world.submit("first")
        await world.decide(first)
        assert world.kind(first) == "L4"
        if bound is not None:
            world.bind(first, "l4", phase=bound)
        world.change(first, changes)
        second = world.submit("second")
        await world.decide(second)
        assert world.kind(second) == next_one

    run(story)


def test_a_decision_that_may_have_been_written_counts() -> None:
    async def story(world: World) -> None:
        first, second = world.submit("first"), world.submit("second")
        world.answers = False
        await world.decide(first)
        world.answers = True
        await world.decide(second)
        await world.decide(first)
        assert (world.kind(first), world.kind(second)) == ("L4", "A100-80GB")

    run(story)


def test_a_deleted_job_takes_its_unwritten_decision_with_it() -> None:
    async def story(world: World) -> None:
        first, second = world.submit("first"), world.submit("second")
        world.answers = False
        await world.decide(first)
        world.answers = True
        world.store.remove(FINE_TUNE_JOB, first, "uid-first")
        world.queue.add(first)
        await world.decide(second)
        assert world.kind(second) == "L4"

    run(story)
