"""How often, and of whom, it is asked what is free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from finetune_api.names import MANAGED_BY, MANAGED_BY_LABEL
from finetune_operator.client import ApiError, Client, UnreachableError
from finetune_operator.occupancy import FRESH_SECONDS, Occupancy
from tests.finetune_operator.fakes import FakeClock
from tests.finetune_operator.sizing.cluster.objects import gpu_pod

FORBIDDEN = ApiError("GET pods", 403, "Forbidden", "may not list pods")
OURS = {MANAGED_BY_LABEL: MANAGED_BY}


@dataclass
class Pods:
    """A client that has one pod with one GPU on every node, or an error."""

    error: Exception | None = None
    labels: Mapping[str, str] | None = None
    asked: list[str] = field(default_factory=list)
    silent: str | None = None
    """A node of which there is no answer."""

    async def get(self, path: str, *, params: Mapping[str, str]) -> dict[str, Any]:
        assert path == "/api/v1/pods"
        node = params["fieldSelector"].removeprefix("spec.nodeName=")
        self.asked.append(node)
        if node == self.silent:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        metadata = {"name": "pod", "namespace": "team"} | ({"labels": self.labels} if self.labels else {})
        return {"items": [{"metadata": metadata, **gpu_pod(1, on=node)}]}


def run(
    story: Callable[[Occupancy, Pods, FakeClock], Coroutine[Any, Any, None]], namespaces: list[str] | None = None
) -> None:
    pods, clock = Pods(), FakeClock()
    asyncio.run(story(Occupancy(client=cast(Client, pods), time=clock.time, namespaces=namespaces or []), pods, clock))


def test_jobs_that_come_together_share_a_look() -> None:
    async def story(occupancy: Occupancy, pods: Pods, clock: FakeClock) -> None:
        looks = await asyncio.gather(*(occupancy.look(["b", "a"]) for _ in range(50)))
        assert pods.asked == ["a", "b"]
        assert all(look == {"a": {"nvidia.com/gpu": 1}, "b": {"nvidia.com/gpu": 1}} for look in looks)
        await occupancy.look(["a"])  # one of them has gone
        assert pods.asked == ["a", "b"]
        clock.advance(FRESH_SECONDS + 1)
        await occupancy.look(["a"])
        assert pods.asked == ["a", "b", "a"]

    run(story)


def test_a_node_that_has_come_back_is_looked_at() -> None:
    async def story(occupancy: Occupancy, pods: Pods, clock: FakeClock) -> None:
        await occupancy.look(["a"])
        assert await occupancy.look(["a", "b"]) == {"a": {"nvidia.com/gpu": 1}, "b": {"nvidia.com/gpu": 1}}

    run(story)


@pytest.mark.parametrize(
    ("labels", "namespaces", "counted"),
    [
        (None, [], True),
        ({"app": "notebook"}, [], True),
        (OURS, [], False),  # the watch tells of it
        (OURS, ["team"], False),
        (OURS, ["other"], True),  # another operator's
    ],
)
def test_what_the_watch_tells_of_is_left_out(
    labels: dict[str, str] | None, namespaces: list[str], counted: bool
) -> None:
    async def story(occupancy: Occupancy, pods: Pods, clock: FakeClock) -> None:
        pods.labels = labels
        assert bool(await occupancy.look(["a"])) is counted

    run(story, namespaces)


def test_what_may_not_be_seen_counts_as_free_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def story(occupancy: Occupancy, pods: Pods, clock: FakeClock) -> None:
        pods.error = FORBIDDEN
        for _ in range(3):
            assert await occupancy.look(["a"]) == {}
            clock.advance(FRESH_SECONDS + 1)
        assert len(pods.asked) == 3, "the right may be given later"
        assert len(caplog.messages) == 1

    run(story)


@pytest.mark.parametrize("error", [UnreachableError("no answer"), ApiError("GET pods", 500, "InternalError", "etcd")])
def test_nobody_is_sized_blindly_for_an_error_that_passes(error: Exception) -> None:
    async def story(occupancy: Occupancy, pods: Pods, clock: FakeClock) -> None:
        pods.error = error
        with pytest.raises(type(error)):
            await occupancy.look(["a"])
        pods.error = None
        assert await occupancy.look(["a"]) == {"a": {"nvidia.com/gpu": 1}}

    run(story)


def test_a_look_that_fails_leaves_nothing_running() -> None:
    async def story(occupancy: Occupancy, pods: Pods, clock: FakeClock) -> None:
        pods.error, pods.silent = UnreachableError("no answer"), "b"
        with pytest.raises(UnreachableError):
            await occupancy.look(["a", "b"])
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(story)
