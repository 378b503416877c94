"""Leader election on a Lease: of several replicas one works, and the next takes over when it goes.

A Lease that another holds counts as abandoned when it has not changed for its duration by this process's own clock,
so that clocks of different nodes need not agree (as in client-go). The leader gives the Lease back when it stops;
the next one then need not wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from finetune_operator.client import ApiError, Client, UnreachableError
from finetune_operator.kinds import LEASE

logger = logging.getLogger(__name__)

DURATION_SECONDS = 15
RENEW_DEADLINE_SECONDS = 10.0
RETRY_SECONDS = 2.0


@dataclass(slots=True)
class Seen:
    """The Lease as it was last seen, and since when (loop time, seconds) it has been so."""

    version: str
    holder: str
    duration: float
    since: float


class Leader:
    """One candidate."""

    def __init__(
        self,
        *,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        now: Callable[[], datetime],
        time: Callable[[], float],
        random: Random,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._now = now
        self._time = time
        self._random = random
        self._lease: dict[str, Any] | None = None
        self._seen: Seen | None = None
        self.standby = False
        """Another one is known to lead."""

    async def acquire(self) -> None:
        """Return when this process is the leader."""
        while not await self.attempt():
            await asyncio.sleep(RETRY_SECONDS * self._random.uniform(1.0, 1.2))
        self.standby = False
        logger.info("leads as %s", self._identity)

    async def hold(self) -> None:
        """Renew the Lease; return when it is lost."""
        renewed = self._time()
        while self._time() - renewed < RENEW_DEADLINE_SECONDS:
            await asyncio.sleep(RETRY_SECONDS)
            # A renewal that hangs must not outlive the deadline: someone else may lead by then.
            try:
                async with asyncio.timeout(max(0.1, RENEW_DEADLINE_SECONDS - (self._time() - renewed))):
                    if await self.attempt():
                        renewed = self._time()
                    elif self.standby:
                        break
            except TimeoutError:
                break
        logger.error("lost the Lease %s/%s", self._namespace, self._name)

    async def release(self) -> None:
        """Give the Lease back, if it is ours."""
        if self._lease is None:
            return
        try:
            # Not as it was last written: a renewal that was cut off may have arrived all the same.
            lease = await self._client.get(LEASE.path(self._namespace, self._name))
            if lease["spec"].get("holderIdentity") != self._identity:
                return
            spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._micro_time()}
            await self._client.replace(LEASE, self._namespace, self._name, {**lease, "spec": spec})
        except (ApiError, UnreachableError) as error:
            logger.warning("could not give the Lease back, the next leader waits %d s: %s", DURATION_SECONDS, error)
        else:
            logger.info("gave the Lease back")
        self._lease = None

    async def attempt(self) -> bool:
        """Take or renew the Lease once; True: it is ours."""
        try:
            return await self._take()
        except ApiError as error:
            # 409: another was quicker
            (logger.debug if error.status == 409 else logger.warning)("could not take the Lease: %s", error)
            self._lease = None
        except UnreachableError as error:
            logger.warning("could not take the Lease: %s", error)
        return False

    async def _take(self) -> bool:
        if self._lease is not None:  # ours: renew without reading it again
            spec = {**self._lease["spec"], "renewTime": self._micro_time()}
            self._lease = await self._client.replace(LEASE, self._namespace, self._name, {**self._lease, "spec": spec})
            return True
        try:
            lease = await self._client.get(LEASE.path(self._namespace, self._name))
        except ApiError as error:
            if error.status != 404:
                raise
            self._lease = await self._client.create(LEASE, self._namespace, self._new())
            return True
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity) and not self._abandoned(lease, holder, spec):
            if not self.standby:
                logger.info("stands by; the leader is %s", holder)
            self.standby = True
            return False
        changes = int(spec.get("leaseTransitions") or 0) + (holder != self._identity)
        self._lease = await self._client.replace(
            LEASE, self._namespace, self._name, {**lease, "spec": {**self._spec(), "leaseTransitions": changes}}
        )
        return True

    def _abandoned(self, lease: dict[str, Any], holder: str, spec: dict[str, Any]) -> bool:
        version = str(lease["metadata"]["resourceVersion"])
        if self._seen is None or self._seen.version != version:
            duration = float(spec.get("leaseDurationSeconds") or DURATION_SECONDS)
            self._seen = Seen(version, holder, duration, self._time())
        return self._time() - self._seen.since > self._seen.duration

    def _new(self) -> dict[str, Any]:
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {**self._spec(), "leaseTransitions": 0},
        }

    def _spec(self) -> dict[str, Any]:
        now = self._micro_time()
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION_SECONDS,
            "acquireTime": now,
            "renewTime": now,
        }

    def _micro_time(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
