"""HTTP of a running trainer: /progress, /metrics, /healthz.

It runs in the supervisor, which has nothing else to do, and not in the recipe, which may hold the interpreter's
lock for minutes: it answers from the first second to the last.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from finetune_api.status import Progress
from finetune_trainer.watch import Pulse

_GAUGES = {
    "step": ("finetune_trainer_step", "Optimizer steps done."),
    "max_steps": ("finetune_trainer_max_steps", "Optimizer steps in all."),
    "epoch": ("finetune_trainer_epoch", "Passes over the data done."),
    "loss": ("finetune_trainer_loss", "Training loss of the last logged step."),
    "eval_loss": ("finetune_trainer_eval_loss", "Loss on the validation rows."),
    "learning_rate": ("finetune_trainer_learning_rate", "Current learning rate."),
    "tokens_per_second": ("finetune_trainer_tokens_per_second", "Real (not padding) tokens trained per second."),
    "eta_seconds": ("finetune_trainer_eta_seconds", "Expected time to the end of training."),
}


@dataclass(frozen=True, slots=True)
class _Gauges(Collector):
    pulse: Pulse

    def collect(self) -> Iterator[Metric]:
        progress = self.pulse.progress()
        for field, (name, documentation) in _GAUGES.items():
            value = getattr(progress, field)
            if value is not None:
                yield GaugeMetricFamily(name, documentation, value=value)
        stage = GaugeMetricFamily("finetune_trainer_stage", "1 for the stage that the run is in.", labels=["stage"])
        stage.add_metric([progress.stage or "Loading"], 1)
        yield stage
        silence = self.pulse.silence_seconds()
        yield GaugeMetricFamily(
            "finetune_trainer_heartbeat_age_seconds", "Time since the recipe last said that it got on.", value=silence
        )


def serve(port: int, pulse: Pulse) -> ThreadingHTTPServer:
    """Start answering on `port` (0: any free one). OSError if the port is taken."""
    registry = CollectorRegistry()
    registry.register(_Gauges(pulse))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/progress":
                    self._answer(200, "application/json", json.dumps(_wire(pulse.progress())).encode())
                case "/metrics":
                    self._answer(200, "text/plain; version=0.0.4; charset=utf-8", generate_latest(registry))
                case "/healthz":
                    stalled = pulse.stalled()
                    content = {"stage": pulse.progress().stage or "Loading", "silenceSeconds": pulse.silence_seconds()}
                    body = content if stalled is None else {**content, "stalled": stalled}
                    self._answer(200 if stalled is None else 503, "application/json", json.dumps(body).encode())
                case _:
                    self._answer(404, "text/plain", b"there are /progress, /metrics and /healthz\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Probes and scrapes every few seconds are no news."""

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server


def _wire(progress: Progress) -> dict[str, Any]:
    return progress.to_json()
