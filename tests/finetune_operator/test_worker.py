"""The loop around the decision: what follows from each way that applying a plan can end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, cast

import pytest

from finetune_operator.apply import Applier, RefusedError, StaleError
from finetune_operator.client import ApiError, UnreachableError
from finetune_operator.kinds import FINE_TUNE_JOB, NODE
from finetune_operator.metrics import Metrics
from finetune_operator.occupancy import Occupancy
from finetune_operator.progress import Poller
from finetune_operator.queue import Queue
from finetune_operator.reconcile.plan import Key, Observed, Plan, Poll
from finetune_operator.settings import Settings
from finetune_operator.store import Store
from finetune_operator.worker import REFUSAL_SECONDS, Workers
from tests.finetune_operator.fakes import FakeClock, child, job

KEY = Key("team", "invoices")
CREATE = Plan(create=(child(),), status={"phase": "Starting"})


@dataclass
class World:
    """Workers between a decision and an applier that do as they are told."""

    plan: Plan | Exception = field(default_factory=Plan)
    results: list[bool | Exception] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)
    store: Store = field(default_factory=Store)
    decided: list[Observed] = field(default_factory=list)
    applied: list[Plan] = field(default_factory=list)
    polled: list[Poll | None] = field(default_factory=list)
    looks: list[list[str]] = field(default_factory=list)
    blind: Exception | None = None

    def __post_init__(self) -> None:
        self.store.put(FINE_TUNE_JOB, job())
        self.queue = Queue(clock=self.clock, random=Random(1))
        self.workers = Workers(
            decide=self.decide,
            store=self.store,
            queue=self.queue,
            applier=cast(Applier, self),
            poller=cast(Poller, self),
            occupancy=cast(Occupancy, self),
            metrics=Metrics(),
            settings=Settings(),
            now=lambda: datetime(2026, 3, 1, tzinfo=UTC),
            time=self.clock.time,
        )

    def decide(self, seen: Observed, *, now: datetime, settings: Settings) -> Plan:
        self.decided.append(seen)
        if isinstance(self.plan, Exception):
            raise self.plan
        return self.plan

    async def apply(self, seen: Observed, plan: Plan, *, version: str) -> bool:
        self.applied.append(plan)
        result = self.results.pop(0) if self.results else False
        if isinstance(result, Exception):
            raise result
        return result

    def want(self, key: Key, uid: str, poll: Poll | None) -> None:
        self.polled.append(poll)

    async def look(self, nodes: list[str]) -> dict[str, dict[str, Decimal]]:
        self.looks.append(nodes)
        if self.blind is not None:
            raise self.blind
        return {"gpu-1": {"nvidia.com/gpu": Decimal(3)}}

    async def work(self) -> int:
        """Work until the queue is empty; how often the decision was asked."""
        before = len(self.decided)
        running = asyncio.create_task(self.workers.run())
        while len(self.queue) or self.workers.longest_seconds():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})
        return len(self.decided) - before


def run(story: Callable[[World], Any], **given: Any) -> None:
    async def inside() -> None:
        world = World(**given)
        world.queue.add(KEY)
        await story(world)

    asyncio.run(inside())


def test_a_quiet_decision_is_left_alone_until_its_appointment() -> None:
    async def story(world: World) -> None:
        assert await world.work() == 1
        world.clock.advance(3599)
        assert await world.work() == 0
        world.clock.advance(2)
        assert await world.work() == 1

    run(story, plan=Plan(after=timedelta(hours=1)))


def test_what_was_written_is_looked_at_again_until_it_is_quiet() -> None:
    async def story(world: World) -> None:
        assert await world.work() == 1
        world.clock.advance(1)
        assert await world.work() == 1
        world.clock.advance(1000)
        assert await world.work() == 0

    run(story, plan=CREATE, results=[True])


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (StaleError("changed"), 0.006),
        (UnreachableError("no answer"), 0.006),
        (ApiError("POST", 500, "InternalError", "etcd"), 0.006),
        (ApiError("POST", 429, "TooManyRequests", "slow down", 20.0), 20.0),
    ],
)
def test_what_passes_is_tried_again(error: Exception, seconds: float) -> None:
    async def story(world: World) -> None:
        assert await world.work() == 1
        world.clock.advance(seconds * 0.7)
        assert await world.work() == 0
        world.clock.advance(seconds * 0.3)
        assert await world.work() == 1

    run(story, plan=CREATE, results=[error])


def test_a_refusal_is_told_to_the_decision_and_tried_again_slowly() -> None:
    async def story(world: World) -> None:
        assert await world.work() == 2
        assert [seen.refusal for seen in world.decided] == [None, "quota is full"]
        assert world.applied[1].create == ()  # while it stands, nothing is created
        assert world.applied[1].status == CREATE.status

        world.queue.add(KEY)  # such as by the watch's echo of that status
        await world.work()
        assert world.decided[-1].refusal == "quota is full"

        world.clock.advance(REFUSAL_SECONDS + 1)
        assert await world.work() == 1
        assert world.decided[-1].refusal is None
        assert world.applied[-1].create == CREATE.create

    run(story, plan=CREATE, results=[RefusedError("quota is full")])


def test_a_new_spec_is_tried_at_once() -> None:
    async def story(world: World) -> None:
        await world.work()
        changed = job(version=9)
        changed["metadata"]["generation"] = 2
        world.store.put(FINE_TUNE_JOB, changed)
        world.queue.add(KEY)
        await world.work()
        assert world.decided[-1].refusal is None

    run(story, plan=CREATE, results=[RefusedError("invalid")])


def test_a_bug_of_one_job_does_not_stop_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: World) -> None:
        assert await world.work() == 1
        assert "please report it" in caplog.text
        world.plan = Plan()
        world.store.put(FINE_TUNE_JOB, job("other", uid="u2"))
        world.queue.add(Key("team", "other"))
        assert await world.work() == 1
        world.clock.advance(2)
        assert await world.work() == 1  # and it is tried again

    run(story, plan=ValueError("a bug"))


def test_a_deleted_job_is_forgotten_and_its_trainer_left_alone() -> None:
    async def story(world: World) -> None:
        await world.work()
        assert world.polled == [poll]
        world.store.remove(FINE_TUNE_JOB, KEY, "u1")
        world.queue.add(KEY)
        assert await world.work() == 0
        assert world.polled == [poll, None]

    poll = Poll("pod", "10.0.0.1", 8090)
    run(story, plan=Plan(poll=poll))


def node(resource: str) -> dict[str, Any]:
    metadata = {"name": "gpu-1", "uid": "n1", "resourceVersion": "1"}
    return {"metadata": metadata, "status": {"allocatable": {"cpu": "8", resource: "4"}}}


@pytest.mark.parametrize(
    ("resource", "labels", "status", "looks"),
    [
        ("nvidia.com/gpu", {}, {}, [["gpu-1"]]),
        ("nvidia.com/gpu", {"attempts": "3"}, {}, [["gpu-1"]]),
        ("nvidia.com/gpu", {}, {"attempts": [{"number": 1, "jobName": "invoices-a1"}]}, []),  # what it has it has
        ("example.com/fpga", {}, {}, []),  # nothing to share
    ],
)
def test_what_is_free_is_looked_at_before_a_job_is_sized(
    resource: str, labels: dict[str, str], status: dict[str, Any], looks: list[list[str]]
) -> None:
    async def story(world: World) -> None:
        world.store.put(NODE, node(resource))
        given = job(version=2, status=status)
        given["metadata"]["labels"] = labels
        world.store.put(FINE_TUNE_JOB, given)
        await world.work()
        assert world.looks == looks
        assert world.decided[-1].usage == ({"gpu-1": {"nvidia.com/gpu": 3}} if looks else {})

    run(story)


def test_a_look_that_fails_is_tried_again_and_nothing_is_decided_before() -> None:
    async def story(world: World) -> None:
        world.store.put(NODE, node("nvidia.com/gpu"))
        world.blind = UnreachableError("no answer")
        assert await world.work() == 0
        world.blind = None
        world.clock.advance(1)
        assert await world.work() == 1

    run(story)
