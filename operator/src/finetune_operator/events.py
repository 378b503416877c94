"""Events of a job (events.k8s.io/v1): what `kubectl describe` shows below it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from finetune_api import API_VERSION, GROUP, KIND
from finetune_operator.kinds import EVENT
from finetune_operator.reconcile.plan import Event

CONTROLLER = f"{GROUP}/finetune-operator"
NOTE_LIMIT_BYTES = 1024
INSTANCE_LIMIT = 128
REASON_LIMIT = 128


def event_name(job: Mapping[str, Any], event: Event) -> str:
    """Derived from what is said of which job: saying it twice is a 409 and no second event."""
    metadata = job["metadata"]
    said = "\0".join((metadata["uid"], event.type, event.reason, event.message, event.about))
    return f"{metadata['name']}.{hashlib.sha256(said.encode()).hexdigest()[:20]}"


def event_manifest(job: Mapping[str, Any], event: Event, *, now: datetime, instance: str) -> dict[str, Any]:
    """The event as the API server wants it. `instance` is the operator process that tells it."""
    metadata = job["metadata"]
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.name,
        "metadata": {"name": event_name(job, event), "namespace": metadata["namespace"]},
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:INSTANCE_LIMIT],
        "type": event.type,
        "reason": event.reason[:REASON_LIMIT],
        "action": event.reason[:REASON_LIMIT],
        "note": _cut(event.message),
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }


def _cut(text: str) -> str:
    """At most 1,024 bytes, without half a character at the end."""
    data = text.encode()
    if len(data) <= NOTE_LIMIT_BYTES:
        return text
    return data[: NOTE_LIMIT_BYTES - 3].decode(errors="ignore") + "..."
