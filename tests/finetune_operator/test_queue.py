"""The work queue: a key once, one worker a key, nothing forgotten, longer waits after failures."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from finetune_operator.queue import BACKOFF_LIMIT_SECONDS, BACKOFF_SECONDS, Queue
from finetune_operator.reconcile.plan import Key
from tests.finetune_operator.fakes import FakeClock

A, B = Key("n", "a"), Key("n", "b")


def take(queue: Queue) -> Key | None:
    """The next key, if there is one now."""
    coroutine: Coroutine[Any, Any, Key] = queue.get()
    try:
        coroutine.send(None)
    except StopIteration as found:
        key: Key = found.value
        return key
    coroutine.close()
    return None


def make() -> tuple[Queue, FakeClock]:
    clock = FakeClock()
    return Queue(clock=clock, random=Random(1)), clock


async def taken(queue: Queue) -> Key | None:
    return await queue.get() if len(queue) else None


def test_a_key_is_handed_out_once_however_often_it_is_added() -> None:
    async def story() -> None:
        queue, _ = make()
        for key in (A, B, A, A):
            queue.add(key)
        assert [await taken(queue), await taken(queue), await taken(queue)] == [A, B, None]

    asyncio.run(story())


def test_a_key_in_work_waits_for_the_work_to_be_done() -> None:
    async def story() -> None:
        queue, _ = make()
        queue.add(A)
        assert await taken(queue) == A
        queue.add(A)
        assert await taken(queue) is None
        queue.done(A)
        assert await taken(queue) == A

    asyncio.run(story())


def test_the_earlier_of_two_appointments_stays_and_work_cancels_it() -> None:
    async def story() -> None:
        queue, clock = make()
        queue.add_after(A, 60)
        queue.add_after(A, 10)
        queue.add_after(A, 30)
        clock.advance(9.9)
        assert await taken(queue) is None
        clock.advance(0.2)
        assert await taken(queue) == A
        queue.done(A)
        clock.advance(100)
        assert await taken(queue) is None

        queue.add_after(A, 60)
        queue.add(A)
        assert await taken(queue) == A
        queue.done(A)
        clock.advance(100)
        assert await taken(queue) is None  # who worked on it makes the next appointment

    asyncio.run(story())


def test_retries_wait_twice_as_long_each_time_up_to_a_limit() -> None:
    async def story() -> None:
        queue, clock = make()
        for failures in range(60):
            expected = min(BACKOFF_SECONDS * 2**failures, BACKOFF_LIMIT_SECONDS)
            queue.retry(A)
            clock.advance(expected * 0.89)
            assert await taken(queue) is None, failures
            clock.advance(expected * 0.22)
            assert await taken(queue) == A, failures
            queue.done(A)
        queue.forget(A)
        queue.retry(A)
        clock.advance(BACKOFF_SECONDS * 1.2)
        assert await taken(queue) == A

    asyncio.run(story())


def test_the_server_may_ask_for_a_longer_wait() -> None:
    async def story() -> None:
        queue, clock = make()
        queue.retry(A, at_least=7)
        clock.advance(6.9)
        assert await taken(queue) is None
        clock.advance(0.2)
        assert await taken(queue) == A

    asyncio.run(story())


def test_a_waiting_worker_is_woken_and_a_cancelled_one_passes_it_on() -> None:
    async def story() -> None:
        queue, _ = make()
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add(A)  # wakes the first, which is cancelled before it runs
        first.cancel()
        assert await asyncio.wait_for(second, 5) == A
        assert first.cancelled()

    asyncio.run(story())


def test_latency_is_the_time_from_add_to_get() -> None:
    async def story() -> None:
        queue, clock = make()
        seen: list[float] = []
        queue.latency = seen.append
        queue.add(A)
        clock.advance(3)
        await queue.get()
        assert seen == [3]

    asyncio.run(story())


class QueueMachine(RuleBasedStateMachine):
    """Under any order of calls: what was added since its work began is handed out again, never twice at once."""

    keys = st.sampled_from([Key("n", str(number)) for number in range(4)])

    def __init__(self) -> None:
        super().__init__()
        self.queue, self.clock = make()
        self.due: set[Key] = set()
        self.appointed: dict[Key, float] = {}
        self.working: set[Key] = set()

    @rule(key=keys)
    def add(self, key: Key) -> None:
        self.queue.add(key)
        self.due.add(key)

    @rule(key=keys, seconds=st.integers(1, 50))
    def add_after(self, key: Key, seconds: int) -> None:
        self.queue.add_after(key, seconds)
        self.appointed[key] = min(self.appointed.get(key, float("inf")), self.clock.now + seconds)

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)
        for key, at in list(self.appointed.items()):
            if at <= self.clock.now:
                del self.appointed[key]
                self.due.add(key)

    @rule()
    def get(self) -> None:
        expected = self.due - self.working
        key = take(self.queue) if len(self.queue) else None
        assert (key is None) == (not expected)
        if key is not None:
            assert key in expected
            self.due.discard(key)
            self.appointed.pop(key, None)
            self.working.add(key)

    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        if self.working:
            key = data.draw(st.sampled_from(sorted(self.working)))
            self.working.discard(key)
            self.queue.done(key)

    @invariant()
    def depth_is_what_can_be_taken(self) -> None:
        assert len(self.queue) == len(self.due - self.working)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
