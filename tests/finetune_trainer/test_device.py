"""What a process is told of its GPU, as far as it can be told without one."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finetune_api.contract import Outcome, TrainerConfig
from finetune_trainer.device import detect, refuse_too_old
from finetune_trainer.failure import Failure

# What torch 2.15 for CUDA 13.2 is built for.
BUILT_FOR = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(name="Tesla T4", major=7, minor=5, total_memory=15 << 30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: BUILT_FOR)


def config(job: dict[str, Any], processes: int) -> TrainerConfig:
    return TrainerConfig.model_validate(job | {"accelerator": "gpu", "processes": processes})


@pytest.mark.usefixtures("one_gpu")
def test_each_process_has_a_gpu(job: dict[str, Any]) -> None:
    job["training"]["sharding"] = "ddp"
    found = detect(config(job, 2), local_rank=0)
    assert (found.kind, found.name, found.capability) == ("cuda", "Tesla T4", (7, 5))
    with pytest.raises(Failure, match="process 2 of 2 has no GPU: 1 can be seen") as caught:
        detect(config(job, 2), local_rank=1)
    assert caught.value.outcome is Outcome.TRANSIENT


def test_a_gpu_that_torch_has_no_kernels_for() -> None:
    for capability in ((7, 5), (8, 9), (12, 0)):
        refuse_too_old("it", capability, built_for=BUILT_FOR)
    refuse_too_old("AMD Instinct MI300X", (9, 4), built_for=["gfx942"])
    with pytest.raises(Failure, match=r"it has compute capability 7\.0, and torch .* runs from 7\.5 on"):
        refuse_too_old("it", (7, 0), built_for=BUILT_FOR)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ({}, "expandable_segments:True"),
        ({"PYTORCH_ALLOC_CONF": "max_split_size_mb:512"}, "max_split_size_mb:512"),
        # the older name: ours would hide it
        ({"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:False"}, "None"),
    ],
)
def test_how_memory_is_shared_out_can_be_chosen(given: dict[str, str], used: str) -> None:
    others = {name: value for name, value in os.environ.items() if "ALLOC_CONF" not in name}
    code = "import os, finetune_trainer.process; print(os.environ.get('PYTORCH_ALLOC_CONF'))"
    done = subprocess.run([sys.executable, "-c", code], env=others | given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == used
