"""A run that was stopped and went on leaves the same curve and the same weights, to the last bit."""

from __future__ import annotations

import copy
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from finetune_api.contract import Outcome
from finetune_trainer import checkpoint, training
from tests.finetune_trainer.recipe_here import Run, losses, start

pytestmark = pytest.mark.train


def weights(done: Run) -> str:
    (path,) = done.work.output.glob("*.safetensors")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def whole(job: dict[str, Any], tmp_path: Path) -> Run:
    """The same job in another folder, never stopped."""
    other = copy.deepcopy(job) | {"workDir": str(tmp_path / "whole")}
    done = start(other)
    assert done.failure is None, done.failure
    return done


@pytest.mark.parametrize(("method", "packing"), [("lora", True), ("lora", False), ("qlora", True), ("full", True)])
def test_stopped_four_times(job: dict[str, Any], tmp_path: Path, method: str, packing: bool) -> None:
    job["method"] = method
    job["training"] |= {"packing": packing, "neftuneAlpha": 5.0}
    if method == "full":
        job["training"]["precision"] = "bf16"
    whole = start(copy.deepcopy(job) | {"workDir": str(tmp_path / "whole")})
    assert whole.failure is None, whole.failure

    # in an epoch; while an epoch's end is evaluated; at the last step of an epoch; in the last epoch
    for stop_at, saved in ((2, 2), (7, 6), (12, 12), (14, 14)):
        stopped = start(job, stop_at=stop_at)
        assert stopped.failure is not None
        assert stopped.failure.outcome is Outcome.INTERRUPTED
        assert f"step {saved} " in stopped.failure.message
    resumed = start(job)

    assert resumed.failure is None, resumed.failure
    assert resumed.result is not None
    assert resumed.result.resumed_from_step == 14
    assert resumed.curve == whole.curve
    assert weights(resumed) == weights(whole)
    assert losses(whole)[-1] < losses(whole)[0]


def test_a_checkpoint_in_many_shards(job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SHARD_SIZE", "100KB")
    job["method"] = "full"
    whole = start(copy.deepcopy(job) | {"workDir": str(tmp_path / "whole")})
    stopped = start(job, stop_at=5)
    assert len(list((stopped.work.checkpoints / "step-5").glob("*.safetensors"))) > 2
    resumed = start(job)
    assert resumed.result is not None, resumed.failure
    assert resumed.result.resumed_from_step == 5
    assert resumed.curve == whole.curve
    assert weights(resumed) == weights(whole)


@pytest.mark.parametrize("stop_at", ["Evaluating", "Exporting"])
def test_stopped_after_the_last_step(job: dict[str, Any], whole: Run, stop_at: str) -> None:
    stopped = start(job, stop_at=stop_at)
    assert stopped.failure is not None
    assert stopped.failure.outcome is Outcome.INTERRUPTED
    resumed = start(job)
    assert resumed.result is not None, resumed.failure
    assert resumed.curve == whole.curve
    assert weights(resumed) == weights(whole)


def test_a_damaged_checkpoint_is_passed_over(job: dict[str, Any], whole: Run) -> None:
    start(job, stop_at=2)
    start(job, stop_at=5)
    damaged = whole.work.root.parent / "work" / "checkpoints" / "step-5" / "optimizer.pt"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    resumed = start(job)
    assert resumed.result is not None, resumed.failure
    assert resumed.result.resumed_from_step == 2
    assert resumed.curve == whole.curve


def test_killed_between_checkpoints(job: dict[str, Any], whole: Run) -> None:
    """What was logged after the checkpoint is cut off and trained again; a half-written checkpoint is no checkpoint."""
    stopped = start(job, stop_at=4)
    with stopped.work.metrics.open("a") as file:
        file.write('{"step": 5, "epoch": 0.8, "loss": 99.0}\n{"step": 6, "lo')
    shutil.copytree(stopped.work.checkpoints / "step-4", checkpoint.temporary(stopped.work.checkpoints, 6))
    resumed = start(job)
    assert resumed.result is not None, resumed.failure
    assert resumed.curve == whole.curve
    assert not list(stopped.work.checkpoints.glob(".incomplete-*"))


def test_other_settings_are_refused(job: dict[str, Any]) -> None:
    start(job, stop_at=2)
    job["training"]["seed"] = 7
    refused = start(job)
    assert refused.failure is not None
    assert refused.failure.outcome is Outcome.BAD_CONFIG
    assert "training.seed = 42, and this run has 7" in refused.failure.message


def test_a_smaller_micro_batch_goes_on(job: dict[str, Any]) -> None:
    """What the operator does after running out of GPU memory: the step stays what it is."""
    job["training"]["packing"] = False
    job["adapter"]["dropout"] = 0.0  # its masks depend on the micro-batch
    whole = start(copy.deepcopy(job) | {"workDir": job["workDir"] + "-whole"})
    start(job, stop_at=3)
    job["training"]["microBatchSize"] = 2
    resumed = start(job)
    assert resumed.result is not None, resumed.failure
    assert losses(resumed) == pytest.approx(losses(whole), abs=2e-4)
    assert len(losses(resumed)) == len(losses(whole))
