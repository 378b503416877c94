"""The cluster owner's rows of the hardware table: read at the start, and again whenever their file has changed.

The kubelet puts a changed ConfigMap into its volume within about a minute, by moving a link: nothing can be watched
reliably, so the file is looked at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from finetune_api.status import TERMINAL_PHASES
from finetune_operator.metrics import Metrics
from finetune_operator.queue import Queue
from finetune_operator.reconcile.plan import Key
from finetune_operator.sizing.hardware import Table
from finetune_operator.sizing.hardware.read import HardwareError, parse
from finetune_operator.store import Store

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0


def today_utc() -> date:
    """By the wall clock."""
    return datetime.now(UTC).date()


class HardwareFile:
    """What the file said when it was last right."""

    def __init__(self, path: Path, *, today: Callable[[], date] = today_utc) -> None:
        """Raises HardwareError: the operator does not start with a table that nobody meant."""
        self._path = path
        self._today = today
        self._text = self._read()
        self.table: Table = parse(self._text, path, today=today())
        self.refused: str | None = None
        """Why the file as it is now is not used."""

    def look(self) -> bool:
        """Read the file again where it has changed. True: there is another table now.

        What is wrong with a changed file is said once, and the table before it stays.
        """
        try:
            text = self._read()
            if text == self._text and self.refused is None:
                return False
            table = parse(text, self._path, today=self._today())
        except HardwareError as error:
            if self.refused != str(error):
                logger.error("the hardware table as it was before is used, for the file is wrong: %s", error)
            self.refused = str(error)
            return False
        changed = table != self.table
        self._text, self.table, self.refused = text, table, None
        return changed

    async def follow(self, store: Store, queue: Queue, metrics: Metrics) -> None:
        """Keep the store's table as the file is, for ever; jobs that have not begun are looked at again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await asyncio.to_thread(self.look):  # a tenth of a second for a long table
                self._take(store, queue)
            metrics.hardware_refused.set(0 if self.refused is None else 1)

    def _take(self, store: Store, queue: Queue) -> None:
        store.hardware = self.table
        logger.info("the hardware table has changed and has %d kinds of accelerator", len(self.table.rows))
        if (stale := self.table.stale_prices(self._today())) is not None:
            logger.warning("%s", stale)
        for key in not_begun(store):
            queue.add(key)

    def _read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise HardwareError(f"{self._path}: cannot be read: {error}") from None


def not_begun(store: Store) -> list[Key]:
    """The jobs whose kind of accelerator is not settled yet."""
    return [
        Key(str(job["metadata"]["namespace"]), str(job["metadata"]["name"]))
        for job in store.jobs()
        if not (status := job.get("status") or {}).get("attempts") and status.get("phase") not in TERMINAL_PHASES
    ]
