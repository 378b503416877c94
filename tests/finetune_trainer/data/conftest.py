"""A job's data, prepared with small tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.contract import CONTRACT_VERSION, TrainerConfig
from finetune_trainer.data import Prepared, prepare


def configuration(work_dir: str, dataset: dict[str, Any], **training: Any) -> TrainerConfig:
    """A configuration with what is given, in the wire's names, in its `dataset` and `training`."""
    source = {"uri": "file:///train.jsonl", "path": "/train.jsonl"}
    return TrainerConfig.model_validate(
        {
            "contractVersion": CONTRACT_VERSION,
            "job": {"namespace": "ns", "name": "job", "uid": "1", "attempt": 1},
            "workDir": work_dir,
            "port": 0,
            "accelerator": "cpu",
            "model": {"source": {"uri": "file:///model", "path": "/model"}, "trustRemoteCode": False},
            "method": "lora",
            "dataset": {"train": source, "trainOn": "responses", "overlong": "truncate", "emptyResponses": "fail"}
            | dataset,
            "training": {
                "epochs": 1,
                "learningRate": 1e-3,
                "effectiveBatchSize": 4,
                "microBatchSize": 1,
                "maxSequenceLength": 512,
                "packing": False,
                "scheduler": "cosine",
                "optimizer": "adamw",
                "weightDecay": 0.0,
                "maxGradNorm": 1.0,
                "seed": 1,
                "gradientCheckpointing": False,
            }
            | training,
            "checkpoint": {"intervalSeconds": 60, "keep": 2},
            "output": {"uri": "file:///work/output"},
        }
    )


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., TrainerConfig]:
    """Make configurations of one work directory."""

    def make(dataset: dict[str, Any] | None = None, **training: Any) -> TrainerConfig:
        return configuration(str(tmp_path / "work"), dataset or {}, **training)

    return make


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON Lines."""

    def write(*rows: dict[str, Any], name: str = "train.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def prepared_rows(
    make_config: Callable[..., TrainerConfig], write_rows: Callable[..., Path]
) -> Callable[..., Prepared]:
    """Prepare rows with a tokenizer; keyword arguments go into the data set's configuration."""

    def run(tokenizer: Any, *rows: dict[str, Any], training: dict[str, Any] | None = None, **dataset: Any) -> Prepared:
        return prepare(make_config(dataset, **(training or {})), tokenizer, write_rows(*rows))

    return run
