"""/metrics, /healthz (restart me?) and /readyz (may a rollout go on?)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

SHUTDOWN_SECONDS = 0.5


class ListenError(RuntimeError):
    """The HTTP port cannot be had."""


@dataclass(slots=True)
class Health:
    """What the probes ask. `checks` say what is wrong, one sentence each, or nothing.

    A standby is ready: in a rollout the new replica must become so while the old one still leads. A leader is ready
    when it has seen everything once; until then its decisions would be made in the dark, and it makes none.
    """

    checks: list[Callable[[], str | None]] = field(default_factory=list)
    standby: Callable[[], bool] = lambda: False
    synced: bool = False

    def problems(self) -> Sequence[str]:
        """Why the process should be restarted."""
        return [problem for check in self.checks if (problem := check()) is not None]

    def readiness(self) -> tuple[bool, str]:
        """Whether it is ready, and what it is doing."""
        if self.synced:
            return True, "leads"
        return (True, "stands by") if self.standby() else (False, "starts")


def application(health: Health, registry: CollectorRegistry) -> web.Application:
    """The HTTP routes."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        problems = health.problems()
        return web.Response(text="\n".join(problems) or "ok", status=500 if problems else 200)

    async def readyz(_: web.Request) -> web.Response:
        ready, state = health.readiness()
        return web.Response(text=state, status=200 if ready else 503)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    return app


async def serve(app: web.Application, port: int) -> web.AppRunner:
    """Listen on all addresses; close with `cleanup()` of what is returned.

    Raises:
        ListenError: the port is taken.
    """
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
    except OSError as error:
        await runner.cleanup()
        raise ListenError(f"cannot listen on port {port}: {error.strerror}; set httpPort to another one") from error
    return runner
