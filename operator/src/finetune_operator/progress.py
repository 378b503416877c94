"""Asks running trainers how far they are. What they tell goes into the store, and their job into the queue."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import aiohttp
from pydantic import ValidationError

from finetune_api.status import Progress
from finetune_operator.client import ApiError, Client, UnreachableError
from finetune_operator.kinds import POD
from finetune_operator.queue import Queue
from finetune_operator.reconcile.plan import Key, Poll
from finetune_operator.store import Store

logger = logging.getLogger(__name__)

AT_ONCE = 16
TIMEOUT = aiohttp.ClientTimeout(total=5)
# A trainer is the user's image: it is not trusted to be brief.
LIMIT_BYTES = 65_536

Ask = Callable[[Key, Poll], Awaitable[Any]]


class NoAnswerError(RuntimeError):
    """The trainer did not answer as it should; it is asked again."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and which job (a name may be used again) it is about."""

    uid: str
    poll: Poll


class Poller:
    """Keeps asking the trainers that are wanted, each once in `interval` seconds."""

    def __init__(self, *, ask: Ask, store: Store, queue: Queue, interval: float, random: Random) -> None:
        self._ask = ask
        self._store = store
        self._queue = queue
        self._interval = interval
        self._random = random
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._targets: dict[Key, Target] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    def want(self, key: Key, uid: str, poll: Poll | None) -> None:
        """Ask this job's trainer from now on; None: nobody."""
        target = Target(uid, poll) if poll is not None else None
        if self._targets.get(key) == target:
            return
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()
        if target is None:
            self._targets.pop(key, None)
            return
        self._targets[key] = target
        self._tasks[key] = asyncio.get_running_loop().create_task(self._follow(key, target), name=f"progress of {key}")

    def close(self) -> None:
        """Ask no more."""
        for key in list(self._targets):
            self.want(key, "", None)

    async def _follow(self, key: Key, target: Target) -> None:
        # Not all at the same moment after a restart.
        await asyncio.sleep(self._interval * self._random.random())
        while True:
            try:
                async with self._at_once:
                    progress = parse(await self._ask(key, target.poll))
            except NoAnswerError as error:
                logger.debug("no progress from pod %s/%s: %s", key.namespace, target.poll.pod, error)
            else:
                if self._store.set_progress(key, target.uid, progress):
                    self._queue.add(key)
            await asyncio.sleep(self._interval)


def parse(answer: Any) -> Progress:
    """Read what /progress answered. A field that this version does not know comes from a newer trainer and is left.

    Raises:
        NoAnswerError: it is no progress.
    """
    if not isinstance(answer, dict):
        raise NoAnswerError("not a JSON object")
    known = {field.alias or name for name, field in Progress.model_fields.items()}
    try:
        return Progress.model_validate({name: value for name, value in answer.items() if name in known})
    except ValidationError as error:
        raise NoAnswerError(str(error)) from error


def through_pod(session: aiohttp.ClientSession) -> Ask:
    """Ask the pod by its address: from inside the cluster."""

    async def ask(_: Key, poll: Poll) -> Any:
        host = f"[{poll.ip}]" if ":" in poll.ip else poll.ip
        try:
            # The address and what answers there are the user's; it must not send the operator elsewhere.
            async with session.get(
                f"http://{host}:{poll.port}/progress", timeout=TIMEOUT, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise NoAnswerError(f"HTTP {response.status}")
                body = b""
                async for part in response.content.iter_any():
                    body += part
                    if len(body) > LIMIT_BYTES:
                        raise NoAnswerError(f"more than {LIMIT_BYTES} bytes")
                return json.loads(body)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NoAnswerError(f"{type(error).__name__}: {error}") from error

    return ask


def through_api_server(client: Client) -> Ask:
    """Ask through the API server's proxy: from outside the cluster."""

    async def ask(key: Key, poll: Poll) -> Any:
        path = POD.path(key.namespace, f"{poll.pod}:{poll.port}", subresource="proxy/progress")
        try:
            async with asyncio.timeout(TIMEOUT.total):
                return await client.get(path)
        except (ApiError, UnreachableError, TimeoutError) as error:
            raise NoAnswerError(str(error)) from error

    return ask
