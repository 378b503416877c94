"""How often, and of whom, it is asked what is free."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from finetune_operator.client import ApiError, Client
from finetune_operator.occupancy import FRESH_SECONDS, Occupancy
from tests.finetune_operator.fakes import FakeClock


class Pods:
    """A client that has one pod with one GPU on every node, or a refusal."""

    def __init__(self, refusal: ApiError | None = None) -> None:
        self.asked: list[str] = []
        self.refusal = refusal

    async def get(self, path: str, *, params: Mapping[str, str]) -> dict[str, Any]:
        assert path == "/api/v1/pods"
        node = params["fieldSelector"].removeprefix("spec.nodeName=")
        self.asked.append(node)
        if self.refusal is not None:
            raise self.refusal
        spec = {"nodeName": node, "containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
        return {"items": [{"spec": spec, "status": {"phase": "Running"}}]}


def test_jobs_that_come_together_share_a_look() -> None:
    async def story() -> None:
        pods, clock = Pods(), FakeClock()
        occupancy = Occupancy(client=cast(Client, pods), time=clock.time)
        looks = await asyncio.gather(*(occupancy.look(["b", "a"]) for _ in range(50)))
        assert pods.asked == ["a", "b"]
        assert all(look == {"a": {"nvidia.com/gpu": 1}, "b": {"nvidia.com/gpu": 1}} for look in looks)
        clock.advance(FRESH_SECONDS + 1)
        await occupancy.look(["a"])
        assert pods.asked == ["a", "b", "a"]

    asyncio.run(story())


def test_what_may_not_be_seen_counts_as_free() -> None:
    async def story() -> None:
        pods = Pods(ApiError("GET pods", 403, "Forbidden", "may not list pods"))
        assert await Occupancy(client=cast(Client, pods), time=FakeClock().time).look(["a"]) == {}

    asyncio.run(story())
