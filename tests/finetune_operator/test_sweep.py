"""The list at the start, ghosts, and a watch that has gone deaf."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any, cast

import pytest

from finetune_operator.client import ApiError, Client
from finetune_operator.kinds import CONFIG_MAP, FINE_TUNE_JOB, NODE, WATCHED
from finetune_operator.metrics import Metrics
from finetune_operator.queue import Queue
from finetune_operator.reconcile.plan import Key
from finetune_operator.store import Store
from finetune_operator.sweep import Listing, MissingCRDError, Sweeper
from tests.finetune_operator.fakes import FakeClock, child, job

KEY = Key("team", "invoices")


class Lists:
    """A client that answers lists, page by page."""

    def __init__(self, pages: Mapping[str, list[Any]]) -> None:
        self.pages = pages
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def get(self, path: str, *, params: dict[str, str], accept: str) -> dict[str, Any]:
        self.asked.append((path, dict(params)))
        pages = self.pages.get(path, [[]])
        number = int(params.get("continue", "0"))
        if isinstance(pages[number], Exception):
            raise pages[number]
        metadata = {"resourceVersion": "100"} | ({"continue": str(number + 1)} if number + 1 < len(pages) else {})
        return {"metadata": metadata, "items": pages[number] or None}


def make(pages: Mapping[str, list[Any]], namespaces: tuple[str, ...] = ()) -> tuple[Sweeper, Store, Queue, Lists]:
    store, queue, lists = Store(), Queue(clock=FakeClock(), random=Random(1)), Lists(pages)
    sweeper = Sweeper(
        client=cast(Client, lists),
        store=store,
        queue=queue,
        metrics=Metrics(),
        namespaces=namespaces,
        interval=300,
    )
    return sweeper, store, queue, lists


def test_everything_is_there_before_anything_is_decided() -> None:
    pages = {
        FINE_TUNE_JOB.path(): [[job()], [job("other", uid="u2")]],
        CONFIG_MAP.path(): [[child()]],
    }
    sweeper, store, queue, lists = make(pages)
    asyncio.run(sweeper.fill())
    assert len(queue) == 2
    assert len(store.observe(KEY).config_maps) == 1  # type: ignore[union-attr]
    selected = {path for path, params in lists.asked if "labelSelector" in params}
    assert selected == {kind.path() for kind in WATCHED} - {FINE_TUNE_JOB.path(), NODE.path()}


def test_only_the_namespaces_that_are_watched_are_listed() -> None:
    sweeper, _, _, lists = make({}, ("a", "b"))
    asyncio.run(sweeper.fill())
    paths = [path for path, _ in lists.asked]
    assert {FINE_TUNE_JOB.path("a"), FINE_TUNE_JOB.path("b"), NODE.path()} <= set(paths)
    assert FINE_TUNE_JOB.path() not in paths


def refusal(status: int) -> ApiError:
    return ApiError("GET", status, "", "no")


def test_without_the_crd_it_says_what_to_do() -> None:
    sweeper, *_ = make({FINE_TUNE_JOB.path(): [refusal(404)]})
    with pytest.raises(MissingCRDError, match=r"install crds/finetunejobs\.yaml"):
        asyncio.run(sweeper.fill())


def test_nodes_may_be_forbidden_and_nothing_else() -> None:
    sweeper, *_ = make({NODE.path(): [refusal(403)]})
    asyncio.run(sweeper.fill())
    assert sweeper.kinds == tuple(kind for kind in WATCHED if kind != NODE)

    sweeper, *_ = make({CONFIG_MAP.path(): [refusal(403)]})
    with pytest.raises(ApiError):
        asyncio.run(sweeper.fill())


def test_a_ghost_is_laid_and_its_job_looked_at() -> None:
    sweeper, store, queue, _ = make({})
    store.put(FINE_TUNE_JOB, job(version=5))
    store.put(CONFIG_MAP, child(version=50))
    sweeper.sweep(CONFIG_MAP, Listing({}, "100"))
    assert store.observe(KEY).config_maps == ()  # type: ignore[union-attr]
    assert len(queue) == 1


def test_what_is_newer_than_the_list_is_no_ghost() -> None:
    sweeper, store, queue, _ = make({})
    store.put(CONFIG_MAP, child(version=101))
    sweeper.sweep(CONFIG_MAP, Listing({}, "100"))
    assert store.count(CONFIG_MAP) == 1
    assert len(queue) == 0


def test_a_watch_that_misses_the_same_thing_twice_is_dead() -> None:
    sweeper, store, _, _ = make({})
    listing = Listing({"c1": ("team", "invoices-a1")}, "100")
    sweeper.sweep(CONFIG_MAP, listing)
    assert not sweeper.watch_is_dead()  # it may have come while we listed
    sweeper.sweep(FINE_TUNE_JOB, Listing({}, "100"))
    sweeper.sweep(CONFIG_MAP, listing)
    assert sweeper.watch_is_dead()
    store.put(CONFIG_MAP, child(version=99))
    sweeper.sweep(CONFIG_MAP, listing)
    assert not sweeper.watch_is_dead()
