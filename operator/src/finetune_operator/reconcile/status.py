"""The status that the API server shows, read leniently: it may come from another version of the operator."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from finetune_api.status import FineTuneJobStatus


def read_status(obj: Mapping[str, Any]) -> FineTuneJobStatus:
    """The object's status. A part that this version cannot read is left out; the rest is kept, above all its end."""
    raw = obj.get("status") or {}
    try:
        return FineTuneJobStatus.model_validate(raw)
    except ValidationError:
        found = FineTuneJobStatus()
        for name, field in FineTuneJobStatus.model_fields.items():
            alias = field.alias or name
            with contextlib.suppress(ValidationError):
                part = FineTuneJobStatus.model_validate({alias: raw[alias]} if alias in raw else {})
                found = found.model_copy(update={name: getattr(part, name)})
        return found


def read_time(text: str | None) -> datetime | None:
    """A timestamp as the API server writes it; None for none, or for what is none."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
