"""The recipe, for real, on a tiny model: each method learns, and each failure has its outcome and its sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from trl import SFTTrainer

from finetune_api.contract import Outcome
from tests.finetune_trainer.conftest import rows, write_rows
from tests.finetune_trainer.recipe_here import losses, start

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("method", "training"),
    [
        ("lora", {}),
        ("lora", {"packing": False, "gradientCheckpointing": True}),
        ("lora", {"precision": "bf16", "attention": "eager"}),
        ("qlora", {}),
        ("qlora", {"packing": False, "gradientCheckpointing": True, "optimizer": "pagedAdamw8bit"}),
        ("full", {}),
        ("full", {"optimizer": "adamw8bit", "gradientCheckpointing": True}),
        ("full", {"precision": "bf16", "maxSteps": 12, "scheduler": "cosineWithRestarts", "warmupSteps": 2}),
        ("lora", {"epochs": 1.5, "scheduler": "constantWithWarmup", "optimizer": "pagedAdamw"}),
    ],
)
def test_it_learns(job: dict[str, Any], method: str, training: dict[str, Any]) -> None:
    job["method"] = method
    job["training"] |= training
    if "warmupSteps" in training:
        del job["training"]["warmupRatio"]
    done = start(job)
    assert done.result is not None, done.failure
    metrics = done.result.metrics
    assert metrics is not None
    assert metrics.eval_loss is not None
    before = done.curve[0]["evalLoss"]
    assert metrics.eval_loss < before - 0.5
    assert losses(done)[-1] < losses(done)[0] - 0.5
    assert len(losses(done)) == done.result.step
    assert metrics.final_loss == losses(done)[-1]
    output = done.result.outputs[0]
    assert output.kind == ("model" if method == "full" else "adapter")
    weights = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    assert (done.work.output / weights).exists()
    assert f"{metrics.eval_loss:.4f}" in (done.work.output / "README.md").read_text()
    progress = json.loads(done.work.progress.read_text())["progress"]
    assert progress["stage"] == "Done"
    assert progress["percent"] == 100
    assert metrics.epochs == progress["epoch"]
    assert progress["tokensPerSecond"] > 0


def test_full_fine_tuning_in_bf16_learns_as_in_fp32(job: dict[str, Any], tmp_path: Path) -> None:
    """At the learning rate that is its default. Rounded to the nearest it learned a tenth of it."""
    learned = {}
    for precision in ("fp32", "bf16"):
        job["training"] |= {"precision": precision, "learningRate": 2e-5, "epochs": 20}
        done = start(job | {"method": "full", "workDir": str(tmp_path / precision)})
        assert done.result is not None, done.failure
        assert done.result.metrics is not None
        assert done.result.metrics.eval_loss is not None
        learned[precision] = done.curve[0]["evalLoss"] - done.result.metrics.eval_loss
    assert learned["fp32"] > 0.3
    assert learned["bf16"] == pytest.approx(learned["fp32"], rel=0.1)


@pytest.mark.parametrize("packing", [True, False])
def test_the_loss_is_one_however_it_is_computed(job: dict[str, Any], tmp_path: Path, packing: bool) -> None:
    job["adapter"]["dropout"] = 0.0
    done = {}
    for kernel in ("chunked", "eager"):
        job["training"] |= {"lossKernel": kernel, "packing": packing, "microBatchSize": 2, "maxSteps": 6}
        done[kernel] = start(job | {"workDir": str(tmp_path / kernel)})
        assert done[kernel].result is not None, done[kernel].failure
    assert losses(done["eager"]) == pytest.approx(losses(done["chunked"]), rel=1e-4)
    assert done["eager"].curve[0]["evalLoss"] == pytest.approx(done["chunked"].curve[0]["evalLoss"], rel=1e-4)


def test_a_kernel_that_is_not_installed(job: dict[str, Any]) -> None:
    job["training"]["lossKernel"] = "liger"
    done = start(job)
    assert done.failure is not None
    assert done.failure.outcome is Outcome.BAD_CONFIG
    assert "training.lossKernel: liger needs" in done.failure.message


def test_without_validation(job: dict[str, Any]) -> None:
    del job["dataset"]["validationFraction"]
    done = start(job)
    assert done.result is not None, done.failure
    assert done.result.metrics is not None
    assert done.result.metrics.eval_loss is None
    assert not any("evalLoss" in line for line in done.curve)


def out_of_memory(*_: Any, **__: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_out_of_gpu_memory(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SFTTrainer, "training_step", out_of_memory)
    done = start(job)
    assert done.failure is not None
    assert done.failure.outcome is Outcome.OUT_OF_GPU_MEMORY
    assert "Tried to allocate 2.00 GiB" in done.failure.message
    assert not done.work.output.exists()


def test_diverged(job: dict[str, Any]) -> None:
    job["method"] = "full"
    job["training"] |= {"learningRate": 1e25, "scheduler": "constant", "warmupRatio": 0.0}
    done = start(job)
    assert done.failure is not None, "a learning rate of 1e25 did no harm"
    assert done.failure.outcome is Outcome.DIVERGED
    assert "learningRate" in done.failure.message
    assert not done.work.output.exists()


def test_weights_that_are_no_numbers(job: dict[str, Any], tiny_model: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    poisoned = shutil.copytree(tiny_model, tmp_path / "poisoned")
    tensors = load_file(poisoned / "model.safetensors")
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, poisoned / "model.safetensors", metadata={"format": "pt"})
    job["model"]["source"] = {"uri": f"file://{poisoned}", "path": str(poisoned)}
    for fraction in (0.25, None):
        job["dataset"]["validationFraction"] = fraction
        done = start(job)
        assert done.failure is not None
        assert done.failure.outcome is Outcome.DIVERGED
        assert not done.work.checkpoints.exists() or not list(done.work.checkpoints.iterdir())


@pytest.mark.parametrize(
    ("changes", "outcome", "sentence"),
    [
        (
            {"model": {"source": {"uri": "file:///no/model", "path": "/no/model"}, "trustRemoteCode": False}},
            66,
            "/no/model",
        ),
        (
            {"adapter": {"rank": 4, "alpha": 8, "dropout": 0, "targetModules": ["q_porj"]}},
            78,
            '"q_porj" is not a module of',
        ),
        ({"adapter": {"rank": 4, "alpha": 8, "dropout": 0, "targetModules": ["lm_head"]}}, 78, "output head"),
        ({"accelerator": "gpu"}, 75, "no usable GPU"),
        ({"output": {"uri": "x", "destinations": [{"uri": "pvc://full", "path": "/proc"}]}}, 78, "pvc://full"),
    ],
)
def test_refused(job: dict[str, Any], changes: dict[str, Any], outcome: int, sentence: str) -> None:
    from finetune_api.contract import EXIT_CODES

    done = start(job | changes)
    assert done.failure is not None
    assert (EXIT_CODES[done.failure.outcome], sentence in done.failure.message) == (outcome, True), done.failure.message


def test_bad_data(job: dict[str, Any], tmp_path: Path) -> None:
    content = rows(20)
    content[11]["messages"][1]["content"] = ""
    path = write_rows(tmp_path / "bad.jsonl", content)
    job["dataset"]["train"] = {"uri": f"file://{path}", "path": str(path)}
    done = start(job)
    assert done.failure is not None
    assert done.failure.outcome is Outcome.BAD_DATA
    assert "12" in done.failure.message


@pytest.mark.parametrize(
    ("architecture", "what"),
    [
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "no causal language model"),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "encoder-decoder"),
        ({"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]}, "images or sound"),
    ],
)
def test_other_kinds_of_models(architecture: dict[str, Any], what: str) -> None:
    from transformers import AutoConfig

    from finetune_trainer.failure import Failure
    from finetune_trainer.model import refuse_other_than_causal

    config = AutoConfig.for_model(**architecture)
    with pytest.raises(Failure, match=what):
        refuse_other_than_causal(config)
