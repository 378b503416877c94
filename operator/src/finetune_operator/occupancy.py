"""What the pods on nodes with accelerators ask for, so that sizing knows what is free.

Pods of others are listed when a job is about to be sized and never watched: a cluster has far more of them than jobs.
A node's pods are an index of the API server's cache, so a look costs it next to nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from finetune_operator.client import ApiError, Client, UnreachableError
from finetune_operator.kinds import POD
from finetune_operator.sizing.cluster.usage import Usage, requested

logger = logging.getLogger(__name__)

FRESH_SECONDS = 10.0
"""Jobs that are sized within this time share a look."""
AT_ONCE = 8
"""Nodes that are asked for at the same time."""


class Occupancy:
    """The last look, and when it was taken."""

    def __init__(self, *, client: Client, time: Callable[[], float]) -> None:
        self._client = client
        self._time = time
        self._usage: Usage = {}
        self._looked: float | None = None
        self._looking = asyncio.Lock()

    async def look(self, nodes: Iterable[str]) -> Usage:
        """What is requested on these nodes; nothing where the operator may not see it: then all counts as free."""
        async with self._looking:
            if self._looked is None or self._time() - self._looked > FRESH_SECONDS:
                self._usage = await self._list(sorted(nodes))
                self._looked = self._time()
            return self._usage

    async def _list(self, nodes: Sequence[str]) -> Usage:
        gate = asyncio.Semaphore(AT_ONCE)

        async def pods_of(node: str) -> Usage:
            async with gate:
                # resourceVersion 0: from the cache, where pods are indexed by their node
                params = {"fieldSelector": f"spec.nodeName={node}", "resourceVersion": "0"}
                answer = await self._client.get(POD.path(), params=params)
                return requested(answer.get("items", []))

        try:
            looks = await asyncio.gather(*(pods_of(node) for node in nodes))
        except (ApiError, UnreachableError) as error:
            logger.warning("cannot see what the pods on GPU nodes ask for, so all counts as free: %s", error)
            return {}
        return {node: counted for look in looks for node, counted in look.items()}
