"""Ctrl-C, SIGTERM and a closed terminal: the first asks for a checkpoint, the second ends everything at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """Counts the requests to stop while it is entered, and calls `asked` with their number (from 1) at each."""

    def __init__(self, asked: Callable[[int], None] = lambda _: None) -> None:
        self.asked = asked
        self.requests = 0
        self._event = threading.Event()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stopping:
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until the first request; returns whether there was one."""
        return self._event.wait(seconds)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.requests += 1
        self._event.set()
        self.asked(self.requests)
