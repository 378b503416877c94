"""What status shows when nothing runs: what is true then, and nothing of an earlier moment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finetune_api.contract import Outcome
from finetune_api.status import Progress
from tests.finetune_operator.reconcile.cluster import Cluster
from tests.finetune_operator.reconcile.objects import finetune_job
from tests.finetune_operator.reconcile.test_life import ended, started

MIDDLE = Progress(
    stage="Training",
    step=82,
    max_steps=100,
    percent=82,
    epoch=6.56,
    loss=0.7,
    learning_rate=1e-5,
    tokens_per_second=6000,
    eta_seconds=9,
)


def trained(progress: Progress | None, result: dict[str, Any] | None) -> dict[str, Any]:
    """The status of a job that has succeeded: the last look at its trainer, and what that left."""
    cluster = started(Cluster())
    if progress is not None:
        cluster.progress = progress.model_copy(update={"last_heartbeat_time": cluster.now})
    cluster.reconcile()
    cluster.end_trainer(Outcome.SUCCEEDED)
    [pod] = cluster.pods.values()
    end = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    end["message"] = json.dumps({**json.loads(end["message"]), **result}) if result is not None else ""
    cluster.control_jobs()
    cluster.reconcile()
    assert cluster.phase() == "Succeeded"
    assert cluster.job is not None
    return dict(cluster.job["status"])


METRICS = {"epochs": 8, "trainLoss": 0.9, "finalLoss": 0.004, "evalLoss": 0.5}
DONE = {"stage": "Done", "step": 100, "maxSteps": 100, "percent": 100}


@pytest.mark.parametrize(
    ("seen", "result", "shown"),
    [
        (MIDDLE, {"metrics": METRICS}, {**DONE, "epoch": 8, "loss": 0.004, "evalLoss": 0.5}),
        # An image of an earlier version does not say how it ended.
        (MIDDLE, {"metrics": {"trainLoss": 0.9}}, DONE),
        (
            MIDDLE.model_copy(update={"step": 100, "epoch": 8.0, "loss": 0.01}),
            {"metrics": {"trainLoss": 0.9}},
            {**DONE, "epoch": 8, "loss": 0.01},
        ),
        (None, {"metrics": METRICS}, {**DONE, "epoch": 8, "loss": 0.004, "evalLoss": 0.5}),
        (MIDDLE, None, DONE),
        (None, None, {"stage": "Done", "percent": 100}),
    ],
)
def test_progress_is_that_of_the_end(
    seen: Progress | None, result: dict[str, Any] | None, shown: dict[str, Any]
) -> None:
    progress = trained(seen, result)["progress"]
    progress.pop("lastHeartbeatTime", None)
    assert progress == shown


def test_what_is_not_known_is_left_out() -> None:
    status = trained(None, {"resolved": {}, "metrics": {}})
    assert {} not in status.values()
    assert None not in status.values()


def test_the_number_of_gpus_of_a_cpu_is_none() -> None:
    assert trained(MIDDLE, {})["sizing"]["gpus"] == 0
    on_gpu = Cluster(finetune_job(resources={"accelerator": "L4"}))
    on_gpu.reconcile()
    assert (on_gpu.job or {})["status"]["sizing"]["gpus"] == 1


def stopped(cluster: Cluster) -> None:
    cluster.edit(suspend=True)
    for _ in range(3):
        cluster.reconcile()
        cluster.control_jobs()
        cluster.run_kubelet()


@pytest.mark.parametrize(
    ("happens", "phase"),
    [
        (stopped, "Suspended"),
        (lambda cluster: ended(cluster, Outcome.TRANSIENT), "Pending"),
        (lambda cluster: ended(cluster, Outcome.BAD_DATA), "Failed"),
    ],
)
def test_nothing_that_rests_has_a_speed(happens: Any, phase: str) -> None:
    cluster = started(Cluster())
    cluster.progress = MIDDLE.model_copy(update={"last_heartbeat_time": cluster.now})
    cluster.reconcile()
    assert (cluster.job or {})["status"]["progress"]["etaSeconds"] == 9
    happens(cluster)
    assert cluster.phase() == phase
    progress = (cluster.job or {})["status"]["progress"]
    assert progress["step"] == 82
    assert not {"etaSeconds", "tokensPerSecond"} & set(progress)
