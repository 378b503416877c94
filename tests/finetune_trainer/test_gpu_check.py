"""What the check on a GPU asks for is understood, so that it fails there for nothing but the GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import measured
from finetune_api.contract import TrainerConfig
from finetune_trainer import gpu_memory
from finetune_trainer.gpu_check import CASES, Case, configuration, make_model, make_rows, several
from finetune_trainer.settings import Device, settings

GPU = Device("cuda", "NVIDIA A10G", (8, 6), 22 << 30)


MEMORY = (*gpu_memory.RUNS, *gpu_memory.several(2))
ALL = (*CASES, *several(2), *(Case(run.name, run.method, run.training(), run.processes) for run in MEMORY))


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_every_case_is_a_configuration(case: Case, tmp_path: Path) -> None:
    config = TrainerConfig.model_validate(configuration(case, model=tmp_path, rows=tmp_path, work=tmp_path))
    assert settings(config, GPU).optimizer


@pytest.mark.train
def test_its_model_and_rows_train(tmp_path: Path) -> None:
    from tests.finetune_trainer.recipe_here import start

    make_model(tmp_path / "model")
    make_rows(tmp_path / "rows.jsonl", 40)
    training = {"maxSteps": 2, "maxSequenceLength": 256, "gradientCheckpointing": True}
    content = configuration(
        Case("lora", training=training), model=tmp_path / "model", rows=tmp_path / "rows.jsonl", work=tmp_path / "work"
    )
    done = start(content | {"accelerator": "cpu"})
    assert done.result is not None, done.failure


@pytest.mark.train
@pytest.mark.parametrize("run", [gpu_memory.Run("lora", 96, micro_batch_size=2), gpu_memory.Run("full", 64)])
def test_all_sequences_of_a_measured_run_are_of_its_length(run: gpu_memory.Run, tmp_path: Path) -> None:
    from tests.finetune_trainer.recipe_here import start

    shape = {"hidden_size": 32, "num_hidden_layers": 1, "vocab_size": 500, "intermediate_size": 64}
    make_model(tmp_path / "model", gpu_memory.SHAPE | shape)
    gpu_memory.make_rows(tmp_path / "rows.jsonl", length=run.sequence_length)
    case = Case(run.name, run.method, run.training(), run.processes)
    content = configuration(case, model=tmp_path / "model", rows=tmp_path / "rows.jsonl", work=tmp_path / "work")
    done = start(content | {"accelerator": "cpu"})
    assert done.result is not None, done.failure
    assert done.result.step == 2
    metrics = done.result.metrics
    assert metrics is not None
    assert metrics.train_tokens == (metrics.train_rows or 0) * run.sequence_length


@pytest.mark.parametrize("run", MEMORY, ids=lambda run: run.name)
def test_what_is_measured_can_be_put_to_the_memory_model(run: gpu_memory.Run, tmp_path: Path) -> None:
    log = "attention='flash_attention_2'\npeak GPU memory 12.500 GiB, reserved 13.125 GiB\n"
    line = run.line(log, {"model_type": "llama", **gpu_memory.SHAPE}, gpu_memory.kernel_of(log))
    assert line is not None
    file = tmp_path / "measured.jsonl"
    file.write_text(line + "\n")
    [(setup, size, _)] = measured.read(file)
    assert size == 12.5 * 2**30
    assert setup.architecture.parameters == pytest.approx(1.236e9, rel=1e-3)
    assert (setup.method, setup.tokens, setup.kernel) == (
        run.method,
        run.micro_batch_size * run.sequence_length,
        "flash",
    )
    assert (setup.accelerators, setup.sharding) == (run.processes, run.sharding)
    assert setup.engine.loss_kernel == run.loss_kernel
    assert run.line("no peak here", {}, "sdpa") is None
