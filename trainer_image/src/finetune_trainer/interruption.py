"""SIGTERM in the recipe: at once while nothing can be lost, at the next safe point otherwise.

`AT_ONCE` (loading, and while inputs are read): the handler raises. `DEFERRED` (training, evaluation, export): it
only takes note, and the recipe asks `requested` where it can stop.
"""

from __future__ import annotations

import signal
from types import FrameType

from finetune_trainer.failure import interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False

    def install(self) -> None:
        """Take the signals over. Those that came since the supervisor started this process are delivered now."""
        for number in _SIGNALS:
            signal.signal(number, self._received)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_SIGNALS, signal.SIGCHLD))

    def defer(self) -> None:
        """From here on the recipe stops at safe points of its own. Raises INTERRUPTED if it was asked before."""
        self._deferred = True
        self.check(None)

    def check(self, step: int | None) -> None:
        """Raise INTERRUPTED if asked to stop; `step` is that of the newest whole checkpoint."""
        if self.requested:
            raise interrupted(step)

    def _received(self, _number: int, _frame: FrameType | None) -> None:
        already = self.requested
        self.requested = True
        if not self._deferred and not already:
            raise interrupted(None)
