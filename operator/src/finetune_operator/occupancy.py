"""What other people's pods on nodes with accelerators ask for, so that sizing knows what is free.

They are listed when a job is about to be sized and never watched: a cluster has far more of them than jobs. A node's
pods are an index of the API server's cache, so a look costs it next to nothing. What our own jobs hold is known from
the watch (`holdings`), which is never seconds old.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from finetune_api.names import MANAGED_BY, MANAGED_BY_LABEL
from finetune_operator.client import ApiError, Client
from finetune_operator.kinds import POD
from finetune_operator.sizing.cluster.usage import Usage, requested, together

logger = logging.getLogger(__name__)

FRESH_SECONDS = 10.0
"""Jobs that are sized within this time share a look."""
AT_ONCE = 8
"""Nodes that are asked for at the same time."""


class Occupancy:
    """The last look, and when it was taken. `namespaces`: those that are watched; none: all."""

    def __init__(self, *, client: Client, time: Callable[[], float], namespaces: Collection[str] = ()) -> None:
        self._client = client
        self._time = time
        self._namespaces = frozenset(namespaces)
        self._usage: Usage = {}
        self._nodes: frozenset[str] = frozenset()
        self._looked: float | None = None
        self._looking = asyncio.Lock()
        self._forbidden = False

    async def look(self, nodes: Iterable[str]) -> Usage:
        """What others' pods request on these nodes; nothing where the operator may not see it: it counts as free.

        Raises:
            ApiError, UnreachableError: nobody could tell this time; a job that is sized now would be sized blindly.
        """
        wanted = frozenset(nodes)
        async with self._looking:
            # A node that comes back (its device plugin was restarted) may be full of pods.
            if self._looked is None or self._time() - self._looked > FRESH_SECONDS or not wanted <= self._nodes:
                self._usage = await self._list(sorted(wanted))
                self._nodes, self._looked = wanted, self._time()
            return self._usage

    async def _list(self, nodes: Sequence[str]) -> Usage:
        gate = asyncio.Semaphore(AT_ONCE)

        async def pods_of(node: str) -> Usage:
            async with gate:
                # resourceVersion 0: from the cache, where pods are indexed by their node
                params = {"fieldSelector": f"spec.nodeName={node}", "resourceVersion": "0"}
                answer = await self._client.get(POD.path(), params=params)
                return requested(pod for pod in answer.get("items") or () if not self._is_watched(pod))

        looks = [asyncio.create_task(pods_of(node)) for node in nodes]
        try:
            return together(await asyncio.gather(*looks))
        except ApiError as error:
            if error.status != 403:
                raise
            if not self._forbidden:
                logger.warning("may not see what others' pods on GPU nodes ask for, so that counts as free: %s", error)
            self._forbidden = True
            return {}
        finally:
            for look in looks:
                look.cancel()

    def _is_watched(self, pod: Mapping[str, Any]) -> bool:
        metadata = pod["metadata"]
        return (metadata.get("labels") or {}).get(MANAGED_BY_LABEL) == MANAGED_BY and (
            not self._namespaces or metadata["namespace"] in self._namespaces
        )
