"""FSDP2 and DDP on two processes without a GPU: what comes out is what one process makes."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetune_trainer import sharding
from finetune_trainer.settings import Sharded
from tests.finetune_trainer import ranks

CASES: dict[str, dict[str, Any]] = {
    "full": {"method": "full", "training": {"packing": False, "gradientCheckpointing": True}},
    "lora": {"method": "lora", "training": {"packing": True, "gradientCheckpointing": True}},
    "qlora": {"method": "qlora", "training": {"packing": False}},
    # TRL's loss takes the head's weights without calling the head
    "head": {"method": "lora", "training": {"packing": False}, "adapter": {"modulesToSave": ["lm_head"]}},
}
# The sums of two processes are rounded elsewhere than that of one; qlora computes in bfloat16.
TOLERANCE = {"full": 1e-4, "lora": 1e-4, "qlora": 3e-3, "head": 1e-4}


def changed(job: dict[str, Any], work: Path, case: dict[str, Any]) -> dict[str, Any]:
    """The job with the case's settings, and without dropout: two processes draw other numbers than one."""
    content = copy.deepcopy(job) | {"workDir": str(work), "method": case["method"]}
    content["adapter"] |= {"dropout": 0.0} | case.get("adapter", {})
    content["training"] |= {"epochs": 2, "microBatchSize": 2, "effectiveBatchSize": 8} | case["training"]
    return content


def weights(work: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in (work / "output").glob("*.safetensors"):
        found |= load_file(path)
    return found


@pytest.fixture(scope="session")
def untied_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the tiny one, with an output head of its own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    path = tmp_path_factory.mktemp("untied") / "model"
    shutil.copytree(tiny_model, path)
    torch.manual_seed(0)
    config = LlamaConfig.from_pretrained(path, tie_word_embeddings=False)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.mark.train
@pytest.mark.parametrize(("name", "sharding"), [*((name, "fsdp") for name in CASES), ("full", "ddp"), ("lora", "ddp")])
def test_two_learn_what_one_does(
    job: dict[str, Any], tmp_path: Path, untied_model: Path, name: str, sharding: str
) -> None:
    """With an interruption in between, from whose checkpoint both processes go on."""
    if name == "head":
        job["model"]["source"] = {"uri": f"file://{untied_model}", "path": str(untied_model)}
    one = ranks.start(changed(job, tmp_path / "one", CASES[name]), 1)
    shared = changed(job, tmp_path / "two", CASES[name])
    shared["training"]["sharding"] = sharding
    module = ranks.SHARDED if sharding == "fsdp" else ranks.RECIPE
    two = ranks.start(shared, 2, module=module)
    two.stop_after(3)
    assert two.wait() == [82, 82], two.log()
    assert one.wait() == [0], one.log()
    stopped = len(two.losses())
    assert 3 <= stopped < len(one.losses())
    [checkpoint] = (tmp_path / "two" / "checkpoints").iterdir()
    parts = len(list((checkpoint / "optimizer_0").glob("*.distcp")))
    assert parts == (2 if sharding == "fsdp" else 0), "of what is sharded each process writes its part"

    two = ranks.start(shared, 2, module=module)
    assert two.wait() == [0, 0], two.log()
    assert two.losses() == pytest.approx(one.losses(), rel=TOLERANCE[name])
    assert two.evaluations() == pytest.approx(one.evaluations(), rel=TOLERANCE[name])
    assert len(two.evaluations()) == 3
    expected, found = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in expected.items()}
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=10 * TOLERANCE[name], atol=TOLERANCE[name])


@pytest.mark.train
def test_a_layer_computed_again_hides_the_same_numbers(job: dict[str, Any], tmp_path: Path) -> None:
    """Dropout under activation checkpointing: with the numbers of another draw, the gradient would be a wrong one."""
    norms = []
    for checkpointing in (False, True):
        content = changed(job, tmp_path / str(checkpointing), CASES["lora"])
        content["adapter"]["dropout"] = 0.5
        content["training"] |= {"gradientCheckpointing": checkpointing, "sharding": "fsdp", "maxSteps": 3}
        run = ranks.start(content, 2, module=ranks.SHARDED)
        assert run.wait() == [0, 0], run.log()
        norms.append([line["gradNorm"] for line in run.curve() if "gradNorm" in line])
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)


@pytest.mark.train
def test_weights_in_bfloat16_are_rounded_at_random_in_each_part(job: dict[str, Any], tmp_path: Path) -> None:
    content = changed(job, tmp_path / "work", CASES["full"])
    content["training"] |= {"precision": "bf16", "sharding": "fsdp", "epochs": 4}
    run = ranks.start(content, 2, module=ranks.SHARDED)
    assert run.wait() == [0, 0], run.log()
    assert "optimizer='stochastic_adamw'" in run.log() + (tmp_path / "work" / "rank-0.log").read_text()
    assert run.losses()[-1] < run.losses()[0] - 2
    assert {value.dtype for value in weights(tmp_path / "work").values()} == {torch.bfloat16}


def test_what_accelerate_is_told() -> None:
    assert sharding.arguments(None) == {}
    told = sharding.arguments(Sharded(gathered="bfloat16", reduced="float32", quant_storage=None))
    assert told["fsdp"] is True
    assert told["fsdp_config"]["version"] == 2
    assert told["fsdp_config"]["state_dict_type"] == "SHARDED_STATE_DICT"
    assert "activation_checkpointing" not in told["fsdp_config"]
    assert told["accelerator_config"]["gradient_accumulation_kwargs"]["sync_each_batch"] is True
    policy = sharding.policy(Sharded(gathered="bfloat16", reduced="float32", quant_storage=None))
    assert (policy.param_dtype, policy.reduce_dtype, policy.output_dtype) == (torch.bfloat16, torch.float32, None)
