"""What the check on a GPU asks for is understood, so that it fails there for nothing but the GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_api.contract import TrainerConfig
from finetune_trainer.gpu_check import CASES, Case, configuration, make_model, make_rows
from finetune_trainer.settings import Device, settings

GPU = Device("cuda", "NVIDIA A10G", (8, 6), 22 << 30)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
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
