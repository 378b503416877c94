"""What probes and scrapes are answered."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.test_utils import TestClient, TestServer

from finetune_operator.http import Health, ListenError, application, serve
from finetune_operator.metrics import Metrics


async def asked(health: Health, path: str) -> tuple[int, str]:
    async with TestClient(TestServer(application(health, Metrics().registry))) as client:
        response = await client.get(path)
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("synced", "standby", "answer"),
    [
        (False, False, (503, "starts")),
        (False, True, (200, "stands by")),  # else a rollout would wait for a replica that waits for the old one
        (True, False, (200, "leads")),
    ],
)
def test_readyz(synced: bool, standby: bool, answer: tuple[int, str]) -> None:
    assert asyncio.run(asked(Health(synced=synced, standby=lambda: standby), "/readyz")) == answer


def test_healthz_says_what_is_wrong() -> None:
    assert asyncio.run(asked(Health(checks=[lambda: None]), "/healthz")) == (200, "ok")
    broken = Health(checks=[lambda: "the watch is deaf", lambda: None, lambda: "a worker is stuck"])
    assert asyncio.run(asked(broken, "/healthz")) == (500, "the watch is deaf\na worker is stuck")


def test_metrics_are_prometheus_text() -> None:
    status, text = asyncio.run(asked(Health(), "/metrics"))
    assert status == 200
    assert "finetune_operator_build_info" in text


def test_a_taken_port_is_named() -> None:
    async def twice() -> None:
        app = application(Health(), Metrics().registry)
        first = await serve(app, 0)
        try:
            port = first.addresses[0][1]
            with pytest.raises(ListenError, match=f"cannot listen on port {port}: .*set httpPort"):
                await serve(application(Health(), Metrics().registry), port)
        finally:
            await first.cleanup()

    asyncio.run(twice())
