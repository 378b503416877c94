"""Where every thread of a stalled process stands, written even while it holds the interpreter's lock."""

from __future__ import annotations

import faulthandler
import signal
from pathlib import Path

REQUEST = signal.SIGUSR1


def dump_on_request(path: Path) -> None:
    """Write all stacks to `path` at `REQUEST`. The handler is C code: no Python needs to run for it."""
    # stays open for as long as the process lives
    file = path.open("w", encoding="utf-8")
    faulthandler.register(REQUEST, file=file, all_threads=True)
