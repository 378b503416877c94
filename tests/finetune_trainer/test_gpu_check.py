"""What the check on a GPU asks for is understood, so that it fails there for nothing but the GPU."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import measured
from finetune_api.contract import TrainerConfig
from finetune_trainer import gpu_check, gpu_memory
from finetune_trainer.gpu_cases import CASES, Case, configuration, several, stopped
from finetune_trainer.gpu_check import make_model, make_rows
from finetune_trainer.settings import Device, settings

GPUS = (Device("cuda", "NVIDIA A10G", (8, 6), 22 << 30), Device("cuda", "Tesla T4", (7, 5), 15 << 30))

MEMORY = (*gpu_memory.RUNS, *gpu_memory.several(2))
ALL = (*CASES, *several(2), *(Case(run.name, run.method, run.training(), run.processes) for run in MEMORY))


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_every_case_is_a_configuration(case: Case, gpu: Device, tmp_path: Path) -> None:
    config = TrainerConfig.model_validate(configuration(case, model=tmp_path, rows=tmp_path, work=tmp_path))
    assert settings(config, gpu).optimizer


def test_every_way_of_a_gpu_is_among_them(tmp_path: Path) -> None:
    """Each method in both half precisions, alone and shared in both ways; and what is kept is read again in each."""
    ways = set()
    for case in (*CASES, *several(2)):
        config = TrainerConfig.model_validate(configuration(case, model=tmp_path, rows=tmp_path, work=tmp_path))
        ways.add((case.method, settings(config, GPUS[0]).weights, config.training.sharding))
    for sharding in ("none", "ddp", "fsdp"):
        fp16 = {("lora", "float16", sharding), ("qlora", "float16", sharding), ("full", "float32", sharding)}
        assert ways >= fp16 | {(method, "bfloat16", sharding) for method in ("lora", "qlora", "full")}
    assert len(stopped(1)) == 3
    assert {case.training["sharding"] for case in stopped(4)[3:]} == {"ddp", "fsdp"}


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu_check"])
    assert gpu_check.main() == 2
    assert "there is no GPU here" in caplog.text


# A trainer of one line a step, which SIGTERM stops after a step, and which then goes on from where argv[1] says.
TRAINER = """
import json, os, signal, sys, time
from pathlib import Path
config = json.loads(Path(os.environ["FINETUNE_CONFIG"]).read_text())
work, end, resumes = Path(config["workDir"]), Path(os.environ["FINETUNE_TERMINATION_LOG"]), sys.argv[1] == "resumes"
curve, stopped = work / "metrics.jsonl", []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
start = curve.read_text().count("loss") if resumes and curve.exists() else 0
for step in range(start + 1, 1000 if start == 0 and not end.exists() else 9):
    with curve.open("a") as file:
        file.write(json.dumps({"step": step, "loss": 5.0 / step}) + "\\n")
    time.sleep(0.01)
    if stopped:
        break
end.write_text(json.dumps({"resumedFromStep": start or None}))
(work / "run").mkdir(exist_ok=True)
(work / "run" / "progress.json").write_text(json.dumps({"progress": {"tokensPerSecond": 10}}))
print("peak GPU memory 1.250 GiB")
sys.exit(82 if stopped else 0)
"""


@pytest.mark.parametrize("resumes", [True, False])
def test_it_stops_a_run_and_has_it_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, resumes: bool) -> None:
    how = "resumes" if resumes else "begins anew"
    monkeypatch.setattr(gpu_check, "_TRAINER", (sys.executable, "-c", TRAINER, how))
    good, line = gpu_check.goes_on(Case("lora"), tmp_path, model=tmp_path, rows=tmp_path)
    assert good == resumes, line
    assert line.startswith("went on from step "), line
    assert "peak 1.250 GiB" in line


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
