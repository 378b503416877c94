"""What kopf tells of goes into the store, and the job that it bears on into the queue. Nothing else happens here.

Handlers are `on.event` alone: the others cost two PATCHes and annotations per object, an index costs a start that is
quadratic in the number of objects, and neither is needed when every job is looked at as a whole.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

import kopf

from finetune_operator.kinds import FINE_TUNE_JOB, NODE, Kind
from finetune_operator.queue import Queue
from finetune_operator.reconcile.plan import Key
from finetune_operator.store import Store, key_of, place_of

CHUNK = 500
SERVER_TIMEOUT_SECONDS = 300  # the API server takes no fraction
# A watch that the server should have ended by itself and didn't.
CLIENT_TIMEOUT_SECONDS = 330.0
CONNECT_TIMEOUT_SECONDS = 10.0
REQUEST_TIMEOUT_SECONDS = 60.0
IDLE_SECONDS = 0.1


class Watch:
    """Takes in events."""

    def __init__(self, *, store: Store, queue: Queue) -> None:
        self._store = store
        self._queue = queue

    def event(self, kind: Kind, type: str | None, obj: dict[str, Any]) -> None:
        """One object is there (type None, ADDED, MODIFIED) or gone (DELETED)."""
        if type == "DELETED":
            changed = self._store.remove(kind, place_of(obj), str(obj["metadata"]["uid"]))
        else:
            changed = self._store.put(kind, obj)
        if not changed:
            return
        if kind == NODE:
            # Whether a node answers is said of its pods' jobs; the pods themselves may change only minutes later.
            for job in self._store.jobs_on(obj["metadata"]["name"]):
                self._queue.add(job)
            return
        key = key_of(kind, obj)
        if key is None:
            return
        self._queue.add(key)
        if kind == FINE_TUNE_JOB:
            # Whoever waits for a destination that this one holds learns of its end.
            for rival in self._store.rivals(Key(*place_of(obj)), obj):
                self._queue.add(rival)

    def register(self, registry: kopf.OperatorRegistry, kinds: Iterable[Kind]) -> None:
        """Have kopf call `event` for these kinds."""
        for kind in kinds:
            handler = functools.partial(_hand_over, watch=self, kind=kind)
            decorate: Callable[[Any], Any] = kopf.on.event(
                group=kind.group, version=kind.version, plural=kind.plural, id=kind.plural, registry=registry
            )
            decorate(handler)


async def _hand_over(*, watch: Watch, kind: Kind, event: Any, **_: Any) -> None:
    watch.event(kind, event["type"], event["object"])


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers nothing: by default kopf copies the whole object on each event, to compare it with the last one."""

    def build(self, **_: Any) -> Any:
        """Nothing."""
        return {}

    def fetch(self, **_: Any) -> Any:
        """Nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Nowhere."""


class NoProgress(kopf.ProgressStorage):
    """Remembers nothing: an `on.event` handler makes no progress, and objects get no annotations."""

    def fetch(self, **_: Any) -> Any:
        """Nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Nowhere."""

    def purge(self, **_: Any) -> None:
        """Nothing to forget."""

    def touch(self, **_: Any) -> None:
        """Nothing to touch."""

    def clear(self, *, essence: Any) -> Any:
        """Nothing to clear."""
        return essence


def kopf_settings(kinds: Collection[Kind]) -> kopf.OperatorSettings:
    """Settings under which kopf only watches."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # the right to watch CRDs and namespaces isn't needed then
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.queueing.idle_timeout = IDLE_SECONDS  # else the whole list stays in memory for seconds
    settings.watching.chunk_size = CHUNK
    settings.watching.server_timeout = SERVER_TIMEOUT_SECONDS
    settings.watching.client_timeout = CLIENT_TIMEOUT_SECONDS
    settings.watching.connect_timeout = CONNECT_TIMEOUT_SECONDS
    settings.networking.request_timeout = REQUEST_TIMEOUT_SECONDS
    settings.networking.connect_timeout = CONNECT_TIMEOUT_SECONDS
    for kind in kinds:
        if kind.selector:
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.selector
    return settings


def login(read_access: Callable[[], Awaitable[Any]]) -> Callable[..., Awaitable[kopf.ConnectionInfo]]:
    """kopf's login handler: the same credentials as everyone else's, read anew after a 401."""

    async def handler(**_kopf: Any) -> kopf.ConnectionInfo:
        access = await read_access()
        scheme, _, token = (access.authorization or "").partition(" ")
        return kopf.ConnectionInfo(
            server=access.server,
            ca_path=access.ca_file,
            insecure=not access.verify,
            certificate_path=access.certificate_file,
            private_key_path=access.key_file,
            scheme=scheme or None,
            token=token or None,
        )

    return handler
