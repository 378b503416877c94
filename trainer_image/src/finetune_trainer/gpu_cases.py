"""The runs by which `gpu_check` proves what only a GPU can run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_trainer import gpu_memory

_FP16 = {"precision": "fp16", "attention": "sdpa"}
"""What GPUs before Ampere train in."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run of the trainer."""

    name: str
    method: str = "lora"
    training: dict[str, Any] = field(default_factory=dict)
    processes: int = 1


CASES = (
    Case("lora"),
    Case("lora, not packed", training={"packing": False}),
    Case("lora, sdpa", training={"attention": "sdpa"}),
    Case("lora, no checkpointing", training={"gradientCheckpointing": False}),
    Case("lora, fp16", training=_FP16),
    Case("lora, neftune", training={"neftuneAlpha": 5.0}),
    Case("qlora", method="qlora"),
    Case("qlora, fp16", method="qlora", training=_FP16),
    Case("qlora, paged 8-bit", method="qlora", training={"optimizer": "pagedAdamw8bit"}),
    Case("full", method="full"),
    Case("full, fp16", method="full", training=_FP16),
    Case("full, 8-bit", method="full", training={"optimizer": "adamw8bit"}),
    Case("full, paged", method="full", training={"optimizer": "pagedAdamw"}),
    Case("full, fp32", method="full", training={"precision": "fp32", "attention": "sdpa"}),
)


def several(count: int) -> tuple[Case, ...]:
    """What only several GPUs can show."""
    if count < 2:
        return ()
    return tuple(
        Case(f"{method}, {sharding}{name} on {count}", method, {"sharding": sharding, **precision}, processes=count)
        for sharding in ("ddp", "fsdp")
        for method in ("lora", "qlora", "full")
        for name, precision in (("", {}), (", fp16", _FP16))
    )


def stopped(count: int) -> tuple[Case, ...]:
    """Those that are stopped and go on: with a scaler, with bitsandbytes' moments, with ours, and on so many GPUs."""
    alone = tuple(case for case in CASES if case.name in ("lora, fp16", "qlora, paged 8-bit", "full"))
    return (*alone, *(case for case in several(count) if case.training.keys() == {"sharding"}))


def configuration(case: Case, *, model: Path, rows: Path, work: Path) -> dict[str, Any]:
    """The `TrainerConfig` of `case`, in its wire form."""
    training: dict[str, Any] = {
        "epochs": 2,
        "learningRate": 2e-4 if case.method == "full" else 2e-3,
        "effectiveBatchSize": 16,
        "microBatchSize": 4,
        "maxSequenceLength": 1024,
        "packing": True,
        "scheduler": "cosine",
        "warmupRatio": 0.05,
        "optimizer": "adamw",
        "weightDecay": 0.0,
        "maxGradNorm": 1.0,
        "seed": 42,
        "gradientCheckpointing": True,
    }
    return {
        "contractVersion": 1,
        "job": {"namespace": "default", "name": "gpu-check", "uid": "gpu-check", "attempt": 1},
        "workDir": str(work),
        "port": 0,
        "accelerator": "gpu",
        "processes": case.processes,
        "model": {"source": {"uri": f"file://{model}", "path": str(model)}, "trustRemoteCode": False},
        "method": case.method,
        "dataset": {
            "train": {"uri": f"file://{rows}", "path": str(rows)},
            "validationFraction": 0.1,
            "trainOn": "responses",
            "overlong": "truncate",
            "emptyResponses": "fail",
        },
        "adapter": {"rank": gpu_memory.RANK, "alpha": 32, "dropout": 0.05, "targetModules": ["all-linear"]},
        "training": training | case.training,
        "checkpoint": {"intervalSeconds": 600, "keep": 1},
        "output": {"uri": f"file://{work}/output"},
    }
