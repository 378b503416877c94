"""What a trainer said at its end: the termination message, which may come from any image of any version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from finetune_api.contract import Result

LAST_LINES = 5
"""Of a log that stands in for a termination message: enough for an exception, not enough for a dump."""
# What a verdict needs; the rest are numbers and places that may be lost.
CORE = ("outcome", "reason", "message")


def read_result(text: str) -> Result | None:
    """The trainer's result; None: this is something else, such as the end of a log.

    Fields that this version does not know are left, as are those whose values it does not understand.
    """
    said = _object(text)
    if not set(CORE) <= set(said):
        return None
    known = {field.alias or name for name, field in Result.model_fields.items()}
    core = {name: said[name] for name in CORE}
    try:
        found = Result.model_validate(core)
    except ValidationError:
        return None
    for name in known & set(said) - set(CORE):
        try:
            part = Result.model_validate(core | {name: said[name]}, extra="ignore")
        except ValidationError:
            continue
        found = found.model_copy(update={field: getattr(part, field) for field in part.model_fields_set - set(CORE)})
    return found


def words(text: str) -> str:
    """A sentence for people: the message of a result whose outcome is unknown here, else the last lines of a log."""
    message = _object(text).get("message")
    if isinstance(message, str) and message:
        return message
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-LAST_LINES:])[-1000:]


def _object(text: str) -> Mapping[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
