"""Puts the parts together and runs them: HTTP first, then the Lease, then a first look, then the work."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import uuid
from collections import OrderedDict
from collections.abc import Coroutine
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import kopf

from finetune_operator import access, http, progress
from finetune_operator.apply import Applier
from finetune_operator.client import ApiError, Client, UnreachableError
from finetune_operator.hardware_file import HardwareFile
from finetune_operator.leader import Leader
from finetune_operator.metrics import Metrics
from finetune_operator.occupancy import Occupancy
from finetune_operator.progress import Poller
from finetune_operator.queue import Queue
from finetune_operator.reconcile import reconcile
from finetune_operator.settings import Settings
from finetune_operator.store import Store
from finetune_operator.sweep import MissingCRDError, Sweeper
from finetune_operator.watch import Watch, kopf_settings, login
from finetune_operator.worker import Workers

logger = logging.getLogger(__name__)

STUCK_SECONDS = 300.0
STOP_SECONDS = 3.0


class WatchEndedError(RuntimeError):
    """kopf gave up; its cause is attached."""


SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Operator:
    """One process's worth of operator."""

    def __init__(
        self,
        client: Client,
        session: aiohttp.ClientSession,
        settings: Settings,
        kubeconfig: Path | None,
        hardware: HardwareFile | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        random = Random()
        identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        self._settings = settings
        self._kubeconfig = kubeconfig
        self._stop = asyncio.Event()
        self._metrics = Metrics()
        self._store = Store()
        self._queue = Queue(clock=loop, random=random)
        self._queue.latency = self._metrics.queue_latency.observe
        ask = (
            progress.through_pod(session) if settings.progress_through == "pod" else progress.through_api_server(client)
        )
        self._poller = Poller(
            ask=ask,
            store=self._store,
            queue=self._queue,
            interval=settings.limits.progress_interval_seconds,
            random=random,
        )
        self._workers = Workers(
            decide=reconcile,
            store=self._store,
            queue=self._queue,
            applier=Applier(client, self._store, self._metrics, utc_now, identity, OrderedDict()),
            poller=self._poller,
            occupancy=Occupancy(client=client, time=loop.time, namespaces=settings.namespaces),
            metrics=self._metrics,
            settings=settings,
            now=utc_now,
            time=loop.time,
        )
        self._sweeper = Sweeper(
            client=client,
            store=self._store,
            queue=self._queue,
            metrics=self._metrics,
            namespaces=settings.namespaces,
            interval=settings.limits.sweep_seconds,
        )
        self._hardware = hardware
        if hardware is not None:
            self._store.hardware = hardware.table
        self._leader = Leader(
            client=client,
            namespace=settings.pod_namespace,
            name=settings.lease_name,
            identity=identity,
            now=utc_now,
            time=loop.time,
            random=random,
        )
        self._health = http.Health(checks=[self._stuck, self._blind], standby=lambda: self._leader.standby)
        self._metrics.watch_queue(lambda: len(self._queue))
        self._metrics.watch_jobs(self._store.jobs)

    async def run(self) -> int:
        """Run until a signal (0), or until the Lease is lost or the watch ends (1): a new process starts afresh."""
        self._listen_to_signals()
        server = await http.serve(http.application(self._health, self._metrics.registry), self._settings.http_port)
        try:
            if await self._unless_stopped(self._leader.acquire()):
                return 0
            self._metrics.leader.set(1)
            return await self._lead()
        finally:
            await self._leader.release()
            await server.cleanup()

    async def _lead(self) -> int:
        stop = asyncio.create_task(self._stop.wait(), name="signal")
        hold = asyncio.create_task(self._leader.hold(), name="lease")
        work = asyncio.create_task(self._work(), name="work")
        done, _ = await asyncio.wait({stop, hold, work}, return_when=asyncio.FIRST_COMPLETED)
        # kopf's generators complain of being cut off, each with a page of text that nobody can act on.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        for task in (stop, hold, work):
            task.cancel()
        self._poller.close()
        # What is cut off here is made good by the next leader, as after a crash.
        await asyncio.wait({stop, hold, work}, timeout=STOP_SECONDS)
        if stop in done:
            return 0
        if work in done:
            work.result()  # raises what ended it
            return 0 if self._stop.is_set() else 1
        return 1  # another may lead by now

    async def _work(self) -> None:
        """A first look, then the watch and the workers."""
        await self._sweeper.fill()
        self._health.synced = True
        logger.info("has seen %d jobs", len(self._store.job_keys()))
        if (stale := self._store.hardware.stale_prices(utc_now().date())) is not None:
            logger.warning("%s", stale)
        tasks = {
            asyncio.create_task(self._watch(), name="watch"),
            asyncio.create_task(self._sweeper.run(), name="sweep"),
        }
        if self._hardware is not None:
            follow = self._hardware.follow(self._store, self._queue, self._metrics)
            tasks.add(asyncio.create_task(follow, name="hardware table"))
        tasks |= {asyncio.create_task(self._workers.run(), name=f"worker {n}") for n in range(self._settings.workers)}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=STOP_SECONDS)

    async def _watch(self) -> None:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(login(partial(access.read, self._kubeconfig)))
        kinds = self._sweeper.kinds
        Watch(store=self._store, queue=self._queue).register(registry, kinds)
        running = asyncio.Event()
        operator = asyncio.create_task(
            kopf.operator(
                registry=registry,
                settings=kopf_settings(kinds),
                standalone=True,
                clusterwide=not self._settings.namespaces,
                namespaces=self._settings.namespaces,
                ready_flag=running,
            ),
            name="kopf",
        )
        started = asyncio.create_task(running.wait(), name="kopf's start")
        try:
            await asyncio.wait({operator, started}, return_when=asyncio.FIRST_COMPLETED)
            self._listen_to_signals()  # kopf has taken them
            await operator
        except Exception as error:
            raise WatchEndedError("the watch ended; a new process begins afresh") from error
        finally:
            started.cancel()
            operator.cancel()
            await asyncio.wait({operator}, timeout=STOP_SECONDS)

    async def _unless_stopped(self, what: Coroutine[Any, Any, None]) -> bool:
        """Wait for it; True when a signal came first."""
        task, stop = asyncio.create_task(what), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            return self._stop.is_set()
        finally:
            task.cancel()
            stop.cancel()

    def _listen_to_signals(self) -> None:
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    def _stuck(self) -> str | None:
        seconds = self._workers.longest_seconds()
        return f"a worker has been on one job for {seconds:.0f} s" if seconds > STUCK_SECONDS else None

    def _blind(self) -> str | None:
        return "the watch does not tell of what a list shows" if self._sweeper.watch_is_dead() else None


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


async def run(settings: Settings, kubeconfig: Path | None, hardware: HardwareFile | None) -> int:
    """Run the operator; returns the exit code."""
    try:
        async with Client(partial(access.read, kubeconfig)) as client, aiohttp.ClientSession() as session:
            return await Operator(client, session, settings, kubeconfig, hardware).run()
    except (access.AccessError, http.ListenError, MissingCRDError, ApiError, UnreachableError) as error:
        logger.error("%s", error)
        return 1
    except WatchEndedError as error:
        logger.error("%s", error, exc_info=error.__cause__)
        return 1
