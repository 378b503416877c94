"""Logs: one JSON object per line, which says what job it is about."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from finetune_operator import logs
from tests.finetune_operator.fakes import job


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_about_a_job_says_which(stream: io.StringIO) -> None:
    logs.configure("info", "json", stream)
    logger = logging.getLogger("finetune_operator.x")
    with logs.about(job()):
        logger.info("created %s\nand more", "Job a")
    logger.info("alone")
    logger.debug("too fine")
    about, alone = lines(stream)
    assert {k: about[k] for k in ("level", "logger", "message", "namespace", "name", "uid", "generation")} == {
        "level": "info",
        "logger": "finetune_operator.x",
        "message": "created Job a\nand more",
        "namespace": "team",
        "name": "invoices",
        "uid": "u1",
        "generation": 1,
    }
    assert about["time"].endswith("Z")
    assert "name" not in alone


def test_an_exception_stays_on_its_line(stream: io.StringIO) -> None:
    logs.configure("info", "json", stream)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("failed")
    (line,) = lines(stream)
    assert "ValueError: broken" in line["exception"]


def test_kopf_speaks_through_it_and_only_of_trouble(stream: io.StringIO) -> None:
    logs.configure("info", "json", stream)
    logger = logging.getLogger("kopf.objects")
    logger.info("Handler succeeded.")
    logger.error("Handler failed.", extra={"k8s_ref": {"namespace": "team", "name": "invoices", "uid": "u1"}})
    (line,) = lines(stream)
    assert (line["message"], line["namespace"], line["name"]) == ("Handler failed.", "team", "invoices")


def test_text_is_for_people(stream: io.StringIO) -> None:
    logs.configure("info", "text", stream)
    with logs.about(job()):
        logging.getLogger("x").warning("slow")
    assert stream.getvalue().endswith("warning x [team/invoices] slow\n")
