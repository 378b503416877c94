"""Disk that a run will take, known before it begins."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from finetune_api.contract import Outcome
from finetune_trainer import space
from finetune_trainer.failure import Failure

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("dtype", "optimizer", "keep", "needed"),
    [
        (torch.bfloat16, "stochastic_adamw", 2, 3 * (2 + 8) + 2),
        (torch.float32, "adamw_torch_fused", 1, 2 * (4 + 8) + 4),
        (torch.bfloat16, "paged_adamw_8bit", 2, 3 * (2 + 2) + 2),
    ],
)
def test_bytes_per_parameter(dtype: torch.dtype, optimizer: str, keep: int, needed: int) -> None:
    trained = [torch.zeros(10, dtype=dtype), torch.zeros(2, 5, dtype=dtype)]
    assert space.needed_bytes(trained, optimizer=optimizer, keep=keep) == 20 * needed


def test_too_little_is_said_with_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 << 30, 50 << 30, 50 << 30))
    space.check(tmp_path, 50 << 30, keep=2)
    with pytest.raises(Failure) as caught:
        space.check(tmp_path, 112 << 30, keep=2)
    assert (caught.value.outcome, caught.value.reason) == (Outcome.BAD_CONFIG, "DiskFull")
    assert "3 checkpoints" in caught.value.message
    assert "112.0 GiB, and 50.0 GiB are free" in caught.value.message
    assert "at least 62.0 GiB more" in caught.value.message
