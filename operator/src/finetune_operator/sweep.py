"""Lists what there is, by name and UID only: to know when the watch has told of everything, and what it missed.

After a relist kopf does not tell of what vanished meanwhile; such ghosts would be looked after for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from finetune_operator.client import ApiError, Client, UnreachableError
from finetune_operator.kinds import FINE_TUNE_JOB, NODE, WATCHED, Kind
from finetune_operator.metrics import Metrics
from finetune_operator.queue import Queue
from finetune_operator.store import Entry, Place, Store, older

logger = logging.getLogger(__name__)

NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
CHUNK = 1000
RETRY_SECONDS = 2.0
LOOK_SECONDS = 0.1
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

    async def first(self) -> dict[str, Listing]:
        """List everything before the watch begins.

        Raises:
            MissingCRDError: the cluster has no FineTuneJobs.
            ApiError: the operator may not list something that it needs.
        """
        found = {}
        for kind in WATCHED:
            try:
                found[kind.name] = await self._list_patiently(kind)
            except ApiError as error:
                if kind == FINE_TUNE_JOB and error.status == 404:
                    raise MissingCRDError(
                        "the cluster does not know FineTuneJobs; install crds/finetunejobs.yaml first"
                    ) from error
                if kind != NODE or error.status != 403:
                    raise
                logger.warning("may not list nodes: jobs are sized by the hardware table alone")
        self.kinds = tuple(kind for kind in WATCHED if kind.name in found)
        return found

    async def until_seen(self, listed: dict[str, Listing]) -> None:
        """Return when the watch has told of everything that was listed."""
        missing = {(kind, uid): place for kind in self.kinds for uid, place in listed[kind.name].uids.items()}
        while missing:
            for (kind, uid), place in list(missing.items()):
                if self._store.knows(kind, place, uid):
                    del missing[(kind, uid)]
            if missing:
                await asyncio.sleep(LOOK_SECONDS)

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await asyncio.sleep(self._interval)
            for kind in self.kinds:
                try:
                    self.sweep(kind, await self._list(kind))
                except (ApiError, UnreachableError) as error:
                    logger.warning("could not list %s for the sweep: %s", kind.plural, error)

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

    async def _list_patiently(self, kind: Kind) -> Listing:
        while True:
            try:
                return await self._list(kind)
            except UnreachableError as error:
                logger.warning("could not list %s, trying again: %s", kind.plural, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _list(self, kind: Kind) -> Listing:
        listing = Listing()
        namespaces: Sequence[str | None] = self._namespaces if kind.namespaced and self._namespaces else (None,)
        for namespace in namespaces:
            await self._list_one(kind, namespace, listing)
        return listing

    async def _list_one(self, kind: Kind, namespace: str | None, into: Listing) -> None:
        params = {"limit": str(CHUNK)}
        if kind.selector:
            params["labelSelector"] = kind.selector
        while True:
            page = await self._client.get(kind.path(namespace), params=params, accept=NAMES_ONLY)
            for item in page.get("items", ()):
                metadata = item["metadata"]
                into.uids[str(metadata["uid"])] = (str(metadata.get("namespace", "")), str(metadata["name"]))
            version = str(page["metadata"].get("resourceVersion", ""))
            # Of several lists the oldest counts: what is newer than that may be in none of them.
            if not into.version or older(version, into.version):
                into.version = version
            token = page["metadata"].get("continue")
            if not token:
                return
            params["continue"] = token
