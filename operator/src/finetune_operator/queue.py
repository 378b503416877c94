"""A queue of jobs to be looked at: each at most once, never by two workers at a time, and later after a failure.

The semantics are those of client-go's work queue: a key added while it is worked on is handed out again when that
work is done; `retry` waits twice as long each time until `forget`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from finetune_operator.reconcile.plan import Key

BACKOFF_SECONDS = 0.005
BACKOFF_LIMIT_SECONDS = 300.0


class Timer(Protocol):
    """What `Clock.call_later` returns."""

    def cancel(self) -> None:
        """Never call back."""

    def when(self) -> float:
        """On the clock's time."""


class Clock(Protocol):
    """The part of an event loop that tells time."""

    def time(self) -> float:
        """Seconds, monotonic."""

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> Timer:
        """Call back after `delay` seconds."""


class Queue:
    """Keys to be looked at, in the order of their coming."""

    def __init__(self, *, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        # When each waiting key came: its order is the queue's, its value tells how long it waited.
        self._waiting: dict[Key, float] = {}
        self._working: set[Key] = set()
        self._again: dict[Key, float] = {}  # came while it was worked on
        self._timers: dict[Key, Timer] = {}
        self._failures: dict[Key, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self.latency: Callable[[float], None] = _ignore

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: Key) -> None:
        """Look at the key as soon as a worker is free."""
        if key in self._working:
            self._again.setdefault(key, self._clock.time())
        elif key not in self._waiting:
            self._waiting[key] = self._clock.time()
            self._wake()

    def add_after(self, key: Key, seconds: float) -> None:
        """Look at the key then at the latest; an earlier appointment stays."""
        if seconds <= 0:
            self.add(key)
            return
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= self._clock.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = self._clock.call_later(seconds, self._ring, key)

    def retry(self, key: Key, *, at_least: float = 0.0) -> None:
        """Look at the key again after a while (seconds), twice as long each time, give or take a tenth."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 2**40 is beyond every limit; beyond 2**1023 it is an error
        delay = min(BACKOFF_SECONDS * 2 ** min(failures, 40), BACKOFF_LIMIT_SECONDS)
        self.add_after(key, max(delay * self._random.uniform(0.9, 1.1), at_least))

    def forget(self, key: Key) -> None:
        """The key is well: the next retry is a first one."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key; `done` must follow. What was appointed for it is cancelled: the work decides anew."""
        while not self._waiting:
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake()  # this one was woken and goes away: the key is another's
                raise
        key = next(iter(self._waiting))
        came = self._waiting.pop(key)
        self._working.add(key)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        self.latency(self._clock.time() - came)
        return key

    def done(self, key: Key) -> None:
        """The work on the key is over."""
        self._working.discard(key)
        came = self._again.pop(key, None)
        if came is not None:
            self._waiting[key] = came
            self._wake()

    def _ring(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return


def _ignore(_: float) -> None:
    """Nobody measures."""
