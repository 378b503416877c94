"""FSDP2 and DDP on two processes without a GPU: what comes out is what one process makes."""

from __future__ import annotations

import copy
import gc
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import FullyShardedDataParallelPlugin
from safetensors.torch import load_file
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import LlamaConfig, LlamaForCausalLM

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


@pytest.fixture
def two_of_which_one_is_here() -> Iterator[None]:
    """A process group of two in which this is rank 0 and nothing is sent."""
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("two_of_which_one_is_here")
def test_a_whole_layer_is_let_go_of_once_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or qlora, whose whole model is on every GPU until then, would need the parts beside it."""
    shape: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "vocab_size": 32}
    model = LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=4, num_key_value_heads=4))
    whole = sum(parameter.nbytes for parameter in model.parameters())
    elsewhere, sizes, fully_shard = in_tensors() - whole, [], torch.distributed.fsdp.fully_shard

    def noted(module: Any, **arguments: Any) -> Any:
        done = fully_shard(module, **arguments)
        sizes.append(in_tensors() - elsewhere)
        return done

    monkeypatch.setattr(torch.distributed.fsdp, "fully_shard", noted)
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", cpu_ram_efficient_loading=False
    )
    state = SimpleNamespace(fsdp_plugin=plugin)
    sharding.cut(SimpleNamespace(state=state, mixed_precision="no", is_main_process=True), model)
    assert len(sizes) == 4 + 3, "each layer, the embedding, the head with the norm, and the rest"
    assert max(sizes) <= whole
    assert sizes[-1] == pytest.approx(whole / 2, rel=0.02)
    assert list(model.state_dict()), "which is back"


def in_tensors() -> int:
    """Bytes of all tensors of this process, each storage once."""
    gc.collect()
    with warnings.catch_warnings(action="ignore"):
        found = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor)]
    storages = [getattr(tensor, "_local_tensor", tensor).untyped_storage() for tensor in found]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
