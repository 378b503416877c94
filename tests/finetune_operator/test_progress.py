"""What trainers tell of themselves, and what they must not be able to do to the operator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from finetune_api.status import Progress
from finetune_operator.client import ApiError, Client
from finetune_operator.kinds import FINE_TUNE_JOB
from finetune_operator.progress import LIMIT_BYTES, NoAnswerError, Poller, parse, through_api_server, through_pod
from finetune_operator.queue import Queue
from finetune_operator.reconcile.plan import Key, Poll
from finetune_operator.store import Store
from tests.finetune_operator.fakes import job

KEY = Key("team", "invoices")


def test_unknown_fields_of_a_newer_trainer_are_left() -> None:
    assert parse({"step": 3, "maxSteps": 9, "colour": "blue"}) == Progress(step=3, max_steps=9)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "x",
        {"step": "many"},
        {"stage": "Sleeping"},
        {"loss": float("nan")},  # the API server takes no such number
        {"learningRate": float("inf")},
        {"lastHeartbeatTime": "2026-01-01T12:00:00"},  # of which time zone?
    ],
)
def test_what_is_no_progress_is_no_answer(answer: Any) -> None:
    with pytest.raises(NoAnswerError):
        parse(answer)


async def html(_: web.Request) -> web.Response:
    return web.Response(text="<html>")


async def broken(_: web.Request) -> web.Response:
    raise web.HTTPInternalServerError


async def elsewhere(_: web.Request) -> web.Response:
    raise web.HTTPFound("/secret")


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(10):
        await response.write(b" " * (LIMIT_BYTES // 4))
    return response


async def good(_: web.Request) -> web.Response:
    return web.json_response({"step": 3})


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def asked(handler: Handler) -> Any:
    app = web.Application()
    app.add_routes([web.get("/progress", handler), web.get("/secret", good)])
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        assert server.port is not None
        return await through_pod(session)(KEY, Poll("pod", "127.0.0.1", server.port))


@pytest.mark.parametrize("handler", [html, broken, elsewhere, endless])
def test_a_strange_answer_is_no_answer(handler: Handler) -> None:
    with pytest.raises(NoAnswerError):
        asyncio.run(asked(handler))


def test_a_good_answer() -> None:
    assert asyncio.run(asked(good)) == {"step": 3}


def test_nobody_there_is_no_answer() -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            await through_pod(session)(KEY, Poll("pod", "127.0.0.1", 1))

    with pytest.raises(NoAnswerError):
        asyncio.run(ask())


def test_news_queue_the_job_and_the_same_again_does_not() -> None:
    async def story() -> None:
        answers: asyncio.Queue[Any] = asyncio.Queue()
        asked: asyncio.Queue[Poll] = asyncio.Queue()

        async def ask(_: Key, poll: Poll) -> Any:
            await asked.put(poll)
            answer = await answers.get()
            if answer is None:
                raise NoAnswerError("not now")
            return answer

        store = Store()
        store.put(FINE_TUNE_JOB, job())
        queue = Queue(clock=asyncio.get_running_loop(), random=Random(1))
        poller = Poller(ask=ask, store=store, queue=queue, interval=0.001, random=Random(1))
        first, second = Poll("a1-x", "10.0.0.1", 8090), Poll("a1-y", "10.0.0.2", 8090)

        async def answer(given: Any) -> int:
            """Answer one question, wait for the next; how many jobs the answer queued."""
            await answers.put(given)
            await asked.get()
            depth = len(queue)
            if depth:
                queue.done(await queue.get())
            return depth

        poller.want(KEY, "u1", first)
        poller.want(KEY, "u1", first)
        assert await asked.get() == first
        assert [await answer(given) for given in ({"step": 1}, {"step": 1}, None, {"step": 2})] == [1, 0, 0, 1]
        assert store.observe(KEY).progress == Progress(step=2)  # type: ignore[union-attr]

        poller.want(KEY, "u1", second)
        assert await asked.get() == second
        poller.want(KEY, "u1", None)
        await answers.put({"step": 3})
        await asyncio.sleep(0.01)
        assert asked.empty()
        assert store.observe(KEY).progress == Progress(step=2)  # type: ignore[union-attr]

    asyncio.run(story())


def test_from_outside_the_cluster_the_api_server_is_asked() -> None:
    asked: list[str] = []

    class Proxy:
        async def get(self, path: str) -> Any:
            asked.append(path)
            if len(asked) > 1:
                raise ApiError("GET", 503, "ServiceUnavailable", "no endpoints")
            return {"step": 3}

    ask = through_api_server(cast(Client, Proxy()))
    poll = Poll("invoices-a1-x", "10.0.0.1", 8090)
    assert asyncio.run(ask(KEY, poll)) == {"step": 3}
    assert asked == ["/api/v1/namespaces/team/pods/invoices-a1-x:8090/proxy/progress"]
    with pytest.raises(NoAnswerError):
        asyncio.run(ask(KEY, poll))
