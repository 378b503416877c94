"""Events: the same thing said twice is one event, and the API server's limits hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from finetune_operator.events import NOTE_LIMIT_BYTES, event_manifest, event_name
from finetune_operator.reconcile.plan import Event
from tests.finetune_operator.fakes import job

EVENT = Event("Warning", "AttemptFailed", "out of GPU memory", about="1")
NOW = datetime(2026, 3, 1, 12, 0, 0, 1234, tzinfo=UTC)


def test_the_same_thing_has_the_same_name() -> None:
    assert event_name(job(version=1), EVENT) == event_name(job(version=9), replace(EVENT))


@pytest.mark.parametrize(
    "other",
    [
        (job(uid="u2"), EVENT),
        (job(), replace(EVENT, about="2")),
        (job(), replace(EVENT, message="again")),
        (job(), replace(EVENT, reason="Other")),
        (job(), replace(EVENT, message="", about=EVENT.message + EVENT.about)),  # parts do not run into each other
    ],
)
def test_another_thing_has_another_name(other: tuple[dict[str, Any], Event]) -> None:
    assert event_name(*other) != event_name(job(), EVENT)


@pytest.mark.parametrize("text", ["x" * 5000, "ü" * 700, "学" * 2000])
def test_a_long_note_is_cut_between_characters(text: str) -> None:
    note = event_manifest(job(), replace(EVENT, message=text), now=NOW, instance="i")["note"]
    assert NOTE_LIMIT_BYTES - 6 < len(note.encode()) <= NOTE_LIMIT_BYTES
    assert text.startswith(note.removesuffix("..."))


def test_what_the_api_server_wants() -> None:
    manifest = event_manifest(job(), EVENT, now=NOW, instance="i" * 300)
    assert manifest["eventTime"] == "2026-03-01T12:00:00.001234Z"
    assert len(manifest["reportingInstance"]) == 128
    assert manifest["regarding"]["uid"] == "u1"
    assert len(event_name(job("n" * 50), EVENT)) <= 253
