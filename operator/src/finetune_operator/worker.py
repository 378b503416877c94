"""Takes jobs from the queue: observe, decide, apply, and make an appointment for the next time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from finetune_operator import logs
from finetune_operator.apply import Applier, RefusedError, StaleError
from finetune_operator.client import ApiError, UnreachableError
from finetune_operator.kinds import FINE_TUNE_JOB
from finetune_operator.metrics import Metrics
from finetune_operator.occupancy import Occupancy
from finetune_operator.progress import Poller
from finetune_operator.queue import Queue
from finetune_operator.reconcile.plan import Key, Object, Observed, Plan
from finetune_operator.settings import Settings
from finetune_operator.sizing.cluster.claims import Taken, with_claims
from finetune_operator.sizing.cluster.usage import Usage, together
from finetune_operator.store import Store

logger = logging.getLogger(__name__)

ATTEMPTS = b'"attempts":['
"""In the stored text of a job that has begun. A label may have that name too, but no list."""
REFUSAL_SECONDS = 60.0
"""A refused child is tried again after this: a quota may have been raised, a webhook mended."""


class Decide(Protocol):
    """`finetune_operator.reconcile.reconcile`."""

    def __call__(self, seen: Observed, *, now: datetime, settings: Settings) -> Plan:
        """What is to be done for one job now."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a child was not created, of which generation of the spec, and when (loop time, seconds) to try again."""

    message: str
    generation: int
    until: float


class Workers:
    """The loop, as often as jobs may be worked on at the same time."""

    def __init__(
        self,
        *,
        decide: Decide,
        store: Store,
        queue: Queue,
        applier: Applier,
        poller: Poller,
        occupancy: Occupancy,
        metrics: Metrics,
        settings: Settings,
        now: Callable[[], datetime],
        time: Callable[[], float],
    ) -> None:
        self._decide = decide
        self._store = store
        self._queue = queue
        self._applier = applier
        self._poller = poller
        self._occupancy = occupancy
        self._metrics = metrics
        self._settings = settings
        self._now = now
        self._time = time
        self._refusals: dict[Key, Refusal] = {}
        self._busy: dict[Key, float] = {}

    def longest_seconds(self) -> float:
        """How long the longest running work has been going on; 0: none is."""
        return max((self._time() - since for since in self._busy.values()), default=0.0)

    async def run(self) -> None:
        """Work for ever; cancel to stop."""
        while True:
            key = await self._queue.get()
            self._busy[key] = self._time()
            try:
                with self._metrics.reconcile():
                    await self._work(key)
            finally:
                del self._busy[key]
                self._queue.done(key)
            # A full queue never makes `get` wait: without this, HTTP and the watch would starve until it is empty.
            await asyncio.sleep(0)

    async def _work(self, key: Key) -> None:
        entry = self._store.entry(FINE_TUNE_JOB, key)
        if entry is None:
            self._forget(key)
            return
        # A job in the middle of a look may be gone after it; its lines in the log are about it all the same.
        with logs.about(entry.read()):
            try:
                others = None if ATTEMPTS in entry.text else await self._look_at_nodes()
                await self._decide_and_apply(key, others)
            except StaleError as stale:
                logger.debug("looking again: %s", stale)
                self._queue.retry(key)
            except ApiError as error:
                self._metrics.failed("api")
                logger.warning("will be tried again: %s", error)
                self._queue.retry(key, at_least=error.retry_after or 0.0)
            except UnreachableError as error:
                self._metrics.failed("unreachable")
                logger.warning("will be tried again: %s", error)
                self._queue.retry(key)
            except Exception:
                # A bug that one job brings to light must not stop the others; it is logged, counted and tried again.
                self._metrics.failed("bug")
                logger.exception("the decision failed; this is a bug of the operator, please report it")
                self._queue.retry(key, at_least=1.0)

    async def _look_at_nodes(self) -> Usage:
        """See what others hold, for a job that may be about to be sized."""
        nodes = self._store.nodes_with_accelerators()
        return await self._occupancy.look(nodes) if nodes else {}

    def _taken(self, key: Key, nodes: Sequence[Object], others: Usage) -> Taken:
        """What the job cannot have: what others hold, and what the other jobs hold and are about to take."""
        holdings, trainer = self._store.holdings, self._settings.trainer
        return with_claims(
            nodes,
            together((others, holdings.usage())),
            holdings.claims(but=key),
            self._store.hardware,
            cpu=trainer.cpu,
            memory=trainer.memory,
        )

    async def _decide_and_apply(self, key: Key, others: Usage | None) -> None:
        """From what is seen to what is decided nothing else happens, so no two jobs are given the same accelerator.

        `others`: what others hold; None: the job has begun, and has what it has.
        """
        entry, seen = self._store.entry(FINE_TUNE_JOB, key), self._store.observe(key)
        if entry is None or seen is None:
            return
        if others is not None:
            taken = self._taken(key, seen.nodes, others)
            seen = replace(seen, usage=taken.usage, awaited=taken.awaited)
        refusal = self._standing_refusal(key, seen)
        if refusal is not None:
            seen = replace(seen, refusal=refusal.message)
        plan = self._decide(seen, now=self._now(), settings=self._settings)
        if refusal is not None:
            plan = replace(plan, create=(), patch=())
        if plan.status is not None:
            self._store.holdings.expect(key, {**seen.job, "status": plan.status})
        try:
            written = await self._applier.apply(seen, plan, version=entry.version)
        except RefusedError as refused:
            self._refuse(key, seen, str(refused))
            return
        self._store.holdings.expect(key, None)  # what was written is in the store
        self._poller.want(key, str(seen.job["metadata"]["uid"]), plan.poll)
        if refusal is not None:
            self._queue.add_after(key, refusal.until - self._time())
        else:
            self._refusals.pop(key, None)
        if plan.after is not None:
            self._queue.add_after(key, plan.after.total_seconds())
        if written:
            # What was written may make the next step possible. A decision that never comes to rest is slowed down.
            self._queue.retry(key)
        else:
            self._queue.forget(key)

    def _standing_refusal(self, key: Key, seen: Observed) -> Refusal | None:
        refusal = self._refusals.get(key)
        if refusal is None or self._time() >= refusal.until or refusal.generation != generation_of(seen):
            return None
        return refusal

    def _refuse(self, key: Key, seen: Observed, message: str) -> None:
        self._metrics.failed("refused")
        logger.warning("%s", message)
        self._refusals[key] = Refusal(message, generation_of(seen), self._time() + REFUSAL_SECONDS)
        self._queue.add(key)  # to be written into status

    def _forget(self, key: Key) -> None:
        self._queue.forget(key)
        self._refusals.pop(key, None)
        self._store.holdings.expect(key, None)
        self._poller.want(key, "", None)


def generation_of(seen: Observed) -> int:
    """Which spec this is, counted by the API server."""
    return int(seen.job["metadata"].get("generation", 0))
