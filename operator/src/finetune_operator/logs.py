"""Logs: one line per record, JSON for machines or text for people; a line about a job says which."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

_job: ContextVar[Mapping[str, Any] | None] = ContextVar("job", default=None)

# kopf reports each event that it hands over; aiohttp each request.
QUIET = ("kopf.objects", "kopf.activities", "kopf._core.engines.activities", "aiohttp.access", "asyncio")
# The end of a watch, once per kind and once again for all; the operator says it once, and ends.
TOLD_BY_US = ("kopf._core.reactor.orchestration", "kopf._core.reactor.running")


@contextmanager
def about(job: Mapping[str, Any]) -> Iterator[None]:
    """Everything logged inside is about this FineTuneJob."""
    metadata = job["metadata"]
    token = _job.set({name: metadata.get(name) for name in ("namespace", "name", "uid", "generation")})
    try:
        yield
    finally:
        _job.reset(token)


def configure(level: str, form: Literal["json", "text"], stream: TextIO = sys.stderr) -> None:
    """Send all loggers of the process, kopf's and aiohttp's too, to the stream in this form."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in TOLD_BY_US:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says beside its message, in the order in which it is read."""
    found: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    # kopf says it in its own way
    reference = _job.get() or getattr(record, "k8s_ref", None) or {}
    found |= {n: reference[n] for n in ("namespace", "name", "uid", "generation") if reference.get(n) is not None}
    return found


class JSONFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = fields(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """For a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and below it where an exception came from."""
        line = fields(record)
        job = f" [{line.get('namespace', '')}/{line['name']}]" if "name" in line else ""
        text = f"{line['time'][11:]} {line['level']:7} {line['logger']}{job} {line['message']}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text
