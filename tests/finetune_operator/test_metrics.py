"""Metrics: what a job's status says, and nothing of a job that is gone."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import generate_latest

from finetune_operator.client import ApiError
from finetune_operator.kinds import JOB
from finetune_operator.metrics import Metrics, job_values
from tests.finetune_operator.fakes import job

TRAINING: dict[str, Any] = {
    "phase": "Training",
    "sizing": {"accelerator": "L4", "count": 2, "nodes": 2},
    "progress": {"step": 30, "maxSteps": 120, "loss": 1.5, "lastHeartbeatTime": "2026-03-01T12:00:00Z"},
    "attempts": [{"number": 1, "interruptions": 2}, {"number": 2}],
    "cost": {"gpuSeconds": 3600.0, "spentUSD": 2.5},
}


def test_the_gauges_of_a_job() -> None:
    assert job_values(TRAINING) == {
        "progress_ratio": 0.25,
        "loss": 1.5,
        "gpus": 4.0,
        "attempts": 2.0,
        "interruptions": 2.0,
        "cost_usd": 2.5,
        "gpu_seconds": 3600.0,
        "heartbeat_timestamp_seconds": 1772366400.0,
    }


def test_a_finished_job_holds_nothing() -> None:
    values = job_values({**TRAINING, "phase": "Succeeded"})
    assert "gpus" not in values
    assert "heartbeat_timestamp_seconds" not in values


@pytest.mark.parametrize("status", [{}, {"progress": {"step": 0, "maxSteps": 0}}, {"phase": "Training"}])
def test_little_said_is_no_error(status: dict[str, Any]) -> None:
    assert "progress_ratio" not in job_values(status)


def test_series_of_a_deleted_job_vanish() -> None:
    jobs = [job(status=TRAINING), job("other", uid="u2")]
    metrics = Metrics()
    metrics.watch_jobs(lambda: jobs)
    assert sample(metrics, 'finetune_jobs{namespace="team",phase="Training"}') == 1
    assert sample(metrics, 'finetune_jobs{namespace="team",phase="Pending"}') == 1
    assert sample(metrics, 'finetune_job_loss{name="invoices",namespace="team"}') == 1.5
    jobs.clear()
    assert b"invoices" not in generate_latest(metrics.registry)
    assert b'phase="' not in generate_latest(metrics.registry)


def test_writes_are_counted_by_answer() -> None:
    metrics = Metrics()
    with metrics.write("create", JOB):
        pass
    with pytest.raises(ApiError), metrics.write("create", JOB):
        raise ApiError("POST", 409, "AlreadyExists", "there")
    with pytest.raises(ConnectionError), metrics.write("create", JOB):
        raise ConnectionError
    for code in ("2xx", "409", "none"):
        name = f'finetune_operator_api_writes_total{{code="{code}",kind="Job",verb="create"}}'
        assert sample(metrics, name) == 1, code


def sample(metrics: Metrics, series: str) -> float:
    for line in generate_latest(metrics.registry).decode().splitlines():
        if line.startswith(f"{series} "):
            return float(line.split()[-1])
    raise AssertionError(f"no {series}")
