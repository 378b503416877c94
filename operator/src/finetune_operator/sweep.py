"""Lists what there is: everything at the start, and from then on names, to find what the watch did not tell of.

The list at the start fills the store several times faster than the watch's own, which follows; the operator is ready
when it is through. After a relist kopf does not tell of what vanished meanwhile: such ghosts would be looked after
for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune_operator.client import JSON, ApiError, Client, UnreachableError
from finetune_operator.kinds import CONFIG_MAP, FINE_TUNE_JOB, NODE, WATCHED, Kind
from finetune_operator.metrics import Metrics
from finetune_operator.queue import Queue
from finetune_operator.store import Entry, Place, Store, older, place_of

logger = logging.getLogger(__name__)

NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
CHUNK = 500
RETRY_SECONDS = 2.0
SETTLE_SECONDS = 30.0
"""What vanishes between the list at the start and the beginning of the watch is found after this."""
DEAD_AFTER_SWEEPS = 2


class MissingCRDError(RuntimeError):
    """The cluster does not know FineTuneJobs."""


@dataclass(slots=True)
class Listing:
    """The UIDs of one kind at one moment, and the resourceVersion of that moment."""

    uids: dict[str, Place] = field(default_factory=dict)
    version: str = ""


class Sweeper:
    """Compares the store with the cluster, once at the start and then once in `interval` seconds."""

    def __init__(
        self,
        *,
        client: Client,
        store: Store,
        queue: Queue,
        metrics: Metrics,
        namespaces: Sequence[str],
        interval: float,
    ) -> None:
        self._client = client
        self._store = store
        self._queue = queue
        self._metrics = metrics
        self._namespaces = tuple(namespaces)
        self._interval = interval
        self._unseen: dict[str, dict[str, int]] = {}  # kind -> UID -> sweeps in a row
        self.kinds: tuple[Kind, ...] = WATCHED
        """What is watched: nodes are left out where the operator may not list them."""

    async def fill(self) -> None:
        """Put everything that is there into the store, and all jobs into the queue.

        Raises:
            MissingCRDError: the cluster has no FineTuneJobs.
            ApiError: the operator may not list something that it needs.
        """
        kinds = []
        for kind in WATCHED:
            try:
                await self._fill_patiently(kind)
            except ApiError as error:
                if kind == FINE_TUNE_JOB and error.status == 404:
                    raise MissingCRDError(
                        "the cluster does not know FineTuneJobs; install crds/finetunejobs.yaml first"
                    ) from error
                if kind != NODE or error.status != 403:
                    raise
                logger.warning("may not list nodes: jobs are sized by the hardware table alone")
            else:
                kinds.append(kind)
        self.kinds = tuple(kinds)
        for key in self._store.job_keys():
            self._queue.add(key)

    async def run(self) -> None:
        """Sweep for ever."""
        await asyncio.sleep(min(SETTLE_SECONDS, self._interval))
        while True:
            for kind in self.kinds:
                try:
                    self.sweep(kind, await self._list(kind))
                except (ApiError, UnreachableError) as error:
                    logger.warning("could not list %s for the sweep: %s", kind.plural, error)
            await asyncio.sleep(self._interval)

    def sweep(self, kind: Kind, listing: Listing) -> None:
        """Remove what is not there any more; notice what the watch should have told of long ago."""
        for entry in self._store.entries(kind):
            # What is newer than the list may have come after it.
            if entry.uid not in listing.uids and older(entry.version, listing.version):
                self._lay(entry)
        unseen = [uid for uid, place in listing.uids.items() if not self._store.knows(kind, place, uid)]
        before = self._unseen.get(kind.name, {})
        self._unseen[kind.name] = {uid: before.get(uid, 0) + 1 for uid in unseen}

    def watch_is_dead(self) -> bool:
        """Whether something was there in two sweeps in a row and the watch has not told of it."""
        return any(n >= DEAD_AFTER_SWEEPS for counts in self._unseen.values() for n in counts.values())

    def _lay(self, entry: Entry) -> None:
        logger.info("%s %s vanished without a word", entry.kind.name, "/".join(entry.place))
        self._metrics.ghosts.inc()
        self._store.remove(entry.kind, entry.place, entry.uid)
        if entry.key is not None:
            self._queue.add(entry.key)

    async def _fill_patiently(self, kind: Kind) -> None:
        # Of ConfigMaps nothing but the metadata is kept.
        accept = NAMES_ONLY if kind == CONFIG_MAP else JSON
        while True:
            try:
                async for items, _ in self._pages(kind, accept):
                    for item in items:
                        self._store.put(kind, item)
                return
            except (ApiError, UnreachableError) as error:
                if isinstance(error, ApiError) and not error.passes:
                    raise
                logger.warning("could not list %s, trying again: %s", kind.plural, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _list(self, kind: Kind) -> Listing:
        listing = Listing()
        async for items, version in self._pages(kind, NAMES_ONLY):
            listing.uids |= {str(item["metadata"]["uid"]): place_of(item) for item in items}
            # Of several lists the oldest counts: what is newer than that may be in none of them.
            if not listing.version or older(version, listing.version):
                listing.version = version
        return listing

    async def _pages(self, kind: Kind, accept: str) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """Items and resourceVersion, page by page, of all namespaces that are watched."""
        namespaces: Sequence[str | None] = self._namespaces if kind.namespaced and self._namespaces else (None,)
        for namespace in namespaces:
            params = {"limit": str(CHUNK)} | ({"labelSelector": kind.selector} if kind.selector else {})
            while True:
                page = await self._client.get(kind.path(namespace), params=params, accept=accept)
                yield page.get("items") or [], str(page["metadata"].get("resourceVersion", ""))
                token = page["metadata"].get("continue")
                if not token:
                    break
                params["continue"] = token
