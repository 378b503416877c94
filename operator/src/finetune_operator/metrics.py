"""What Prometheus is told. Labels are bounded by the number of jobs; a job that is gone takes its series with it."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from finetune_api import __version__
from finetune_api.status import TERMINAL_PHASES
from finetune_operator.client import ApiError
from finetune_operator.kinds import Kind

PREFIX = "finetune"
JOB_LABELS = ("namespace", "name")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The operator's own counters. One per process, in a registry of its own."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._clock = clock
        Info(f"{PREFIX}_operator_build", "What runs.", registry=self.registry).info({"version": __version__})
        self.leader = Gauge(f"{PREFIX}_operator_leader", "1 while this process is the leader.", registry=self.registry)
        self._reconcile = Histogram(
            f"{PREFIX}_operator_reconcile_seconds",
            "Time from taking a job off the queue to having applied its plan.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._failures = Counter(
            f"{PREFIX}_operator_reconcile_failures",
            "Reconciliations to be tried again, by cause: api, unreachable, refused or bug.",
            ("cause",),
            registry=self.registry,
        )
        self.queue_latency = Histogram(
            f"{PREFIX}_operator_queue_latency_seconds",
            "Time that a job waited for a worker.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._writes = Counter(
            f"{PREFIX}_operator_api_writes",
            "Writes to the API server, by verb, kind and HTTP status of the answer (none: there was no answer).",
            ("verb", "kind", "code"),
            registry=self.registry,
        )
        self.hardware_refused = Gauge(
            f"{PREFIX}_operator_hardware_refused",
            "1 while the hardware table's file is wrong and the table before it is used.",
            registry=self.registry,
        )
        self.ghosts = Counter(
            f"{PREFIX}_operator_ghosts",
            "Objects that had vanished without a watch event and were found by listing.",
            registry=self.registry,
        )

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Show how many jobs wait for a worker."""
        Gauge(f"{PREFIX}_operator_queue_depth", "Jobs that wait for a worker.", registry=self.registry).set_function(
            lambda: float(depth())
        )

    def watch_jobs(self, jobs: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Show what the status of every job says, read anew at each scrape."""
        self.registry.register(JobCollector(jobs))

    def failed(self, cause: str) -> None:
        """Count a reconciliation that is to be tried again."""
        self._failures.labels(cause).inc()

    @contextmanager
    def reconcile(self) -> Iterator[None]:
        """Time one reconciliation."""
        begin = self._clock()
        try:
            yield
        finally:
            self._reconcile.observe(self._clock() - begin)

    @contextmanager
    def write(self, verb: str, kind: Kind) -> Iterator[None]:
        """Count one write by its answer."""
        code = "none"
        try:
            yield
            code = "2xx"
        except ApiError as error:
            code = str(error.status)
            raise
        finally:
            self._writes.labels(verb, kind.name, code).inc()


class JobCollector(Collector):
    """Series about jobs, made from their status when they are asked for: nothing is left of a job that is gone."""

    def __init__(self, jobs: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        self._jobs = jobs

    def describe(self) -> Iterable[Metric]:
        """Nothing to announce: a registry asks so that it need not collect when the series are registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All series, for one scrape."""
        phases: Tally[tuple[str, str]] = Tally()
        gauges = {
            name: GaugeMetricFamily(f"{PREFIX}_job_{name}", text, labels=JOB_LABELS)
            for name, text in JOB_GAUGES.items()
        }
        for job in self._jobs():
            metadata, status = job["metadata"], job.get("status") or {}
            phases[(metadata["namespace"], status.get("phase") or "Pending")] += 1
            for name, value in job_values(status).items():
                gauges[name].add_metric((metadata["namespace"], metadata["name"]), value)
        jobs = GaugeMetricFamily(f"{PREFIX}_jobs", "FineTuneJobs, by phase.", labels=("namespace", "phase"))
        for labels, count in sorted(phases.items()):
            jobs.add_metric(labels, count)
        yield jobs
        yield from gauges.values()


JOB_GAUGES = {
    "progress_ratio": "Optimizer steps done, of all: 0 to 1.",
    "loss": "Training loss of the last logged step.",
    "eval_loss": "Loss on the validation rows.",
    "tokens_per_second": "Real tokens trained per second.",
    "cost_usd": "Money spent so far.",
    "gpu_seconds": "Accelerators times seconds, so far.",
    "gpus": "Accelerators that the job holds now.",
    "attempts": "Attempts begun.",
    "interruptions": "Pods lost to eviction, preemption or a drained node.",
    "start_timestamp_seconds": "When the first attempt was created.",
    "completion_timestamp_seconds": "When the job reached its end.",
    "heartbeat_timestamp_seconds": "When the trainer last made a step.",
}
HOLDING_PHASES = frozenset({"Starting", "Training", "Evaluating", "Exporting"})


def job_values(status: Mapping[str, Any]) -> dict[str, float]:
    """The gauges of one job; what its status does not say is left out."""
    progress, cost = status.get("progress") or {}, status.get("cost") or {}
    sizing, attempts = status.get("sizing") or {}, status.get("attempts") or []
    steps, of = progress.get("step"), progress.get("maxSteps")
    values = {
        "progress_ratio": steps / of if steps is not None and of else None,
        "loss": progress.get("loss"),
        "eval_loss": progress.get("evalLoss"),
        "cost_usd": cost.get("spentUSD"),
        "gpu_seconds": cost.get("gpuSeconds"),
        "attempts": len(attempts),
        "interruptions": sum(attempt.get("interruptions") or 0 for attempt in attempts),
        "start_timestamp_seconds": _timestamp(status.get("startTime")),
        "completion_timestamp_seconds": _timestamp(status.get("completionTime")),
    }
    if status.get("phase") in HOLDING_PHASES:
        values["gpus"] = sizing.get("count", 0) * sizing.get("nodes", 1)
    if status.get("phase") not in TERMINAL_PHASES:
        values["tokens_per_second"] = progress.get("tokensPerSecond")
        values["heartbeat_timestamp_seconds"] = _timestamp(progress.get("lastHeartbeatTime"))
    return {name: float(value) for name, value in values.items() if value is not None}


def _timestamp(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
