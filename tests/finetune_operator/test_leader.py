"""The Lease, on a real API server: one leads, the next takes over when it goes or falls silent."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from random import Random

import pytest

from finetune_operator import access
from finetune_operator.client import Client
from finetune_operator.leader import DURATION_SECONDS, Leader
from tests.apiserver import ApiServer
from tests.finetune_operator.fakes import FakeClock

pytestmark = pytest.mark.apiserver
NAMES = (f"lease-{number}" for number in itertools.count())
Candidate = Callable[[str], Leader]
Story = Callable[[Candidate, FakeClock], Awaitable[None]]


@pytest.fixture
def tell(apiserver: ApiServer) -> Callable[[Story], None]:
    """Run a story about candidates for one Lease, whose clocks are one that stands still."""
    name, clock = next(NAMES), FakeClock()

    async def run(story: Story) -> None:
        async with Client(partial(access.read, apiserver.kubeconfig)) as client:

            def candidate(identity: str) -> Leader:
                return Leader(
                    client=client,
                    namespace="default",
                    name=name,
                    identity=identity,
                    now=lambda: datetime.now(UTC),
                    time=clock.time,
                    random=Random(1),
                )

            await story(candidate, clock)

    return lambda story: asyncio.run(run(story))


def test_one_leads_and_the_other_stands_by(tell: Callable[[Story], None]) -> None:
    async def story(candidate: Candidate, clock: FakeClock) -> None:
        first, second = candidate("first"), candidate("second")
        assert await first.attempt()
        assert not await second.attempt()
        assert second.standby
        assert await first.attempt()  # renews

    tell(story)


def test_a_lease_given_back_is_taken_at_once(tell: Callable[[Story], None]) -> None:
    async def story(candidate: Candidate, clock: FakeClock) -> None:
        first, second = candidate("first"), candidate("second")
        await first.attempt()
        await second.attempt()
        await first.release()
        assert await second.attempt()

    tell(story)


def test_a_silent_leader_is_followed_after_the_duration_and_not_before(tell: Callable[[Story], None]) -> None:
    async def story(candidate: Candidate, clock: FakeClock) -> None:
        first, second = candidate("first"), candidate("second")
        await first.attempt()
        assert not await second.attempt()
        clock.advance(DURATION_SECONDS - 1)
        assert not await second.attempt()
        await first.attempt()  # a sign of life: the wait begins anew
        clock.advance(2)
        assert not await second.attempt()
        clock.advance(DURATION_SECONDS + 1)
        assert await second.attempt()
        # The first one comes back from wherever it was: it must not write over its successor.
        assert not await first.attempt()
        assert not await first.attempt()
        assert first.standby

    tell(story)


def test_what_another_holds_is_not_given_back(tell: Callable[[Story], None]) -> None:
    async def story(candidate: Candidate, clock: FakeClock) -> None:
        first, second = candidate("first"), candidate("second")
        await first.attempt()
        assert not await second.attempt()
        clock.advance(DURATION_SECONDS + 1)
        assert await second.attempt()
        await first.release()
        assert await second.attempt()

    tell(story)


def test_of_two_at_the_same_moment_one_wins(tell: Callable[[Story], None]) -> None:
    async def story(candidate: Candidate, clock: FakeClock) -> None:
        won = await asyncio.gather(*(candidate(f"c{number}").attempt() for number in range(5)))
        assert sorted(won) == [False, False, False, False, True]

    tell(story)
