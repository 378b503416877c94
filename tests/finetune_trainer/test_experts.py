"""Adapters on mixtures of experts, for real: tiny models of several families, with everything left out that can be."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.utils import transformers_weight_conversion

from finetune_api.contract import AdapterConfig, Outcome
from finetune_operator.sizing import defaults
from finetune_trainer.failure import Failure
from finetune_trainer.methods import experts, lora
from tests.finetune_trainer.conftest import make_tokenizer
from tests.finetune_trainer.recipe_here import losses, start

pytestmark = pytest.mark.train

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "initializer_range": 0.06,
    "num_experts_per_tok": 2,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 2,
}
FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "mixtral": {"num_local_experts": 4},
    "qwen3_moe": {"num_experts": 4, "moe_intermediate_size": 32, "decoder_sparse_step": 1},
    # the first layer is dense, and in the second one expert is for all tokens
    "deepseek_v2": {
        "num_key_value_heads": 4,
        "n_routed_experts": 4,
        "moe_intermediate_size": 32,
        "n_shared_experts": 1,
        "first_k_dense_replace": 1,
        "q_lora_rank": None,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 16,
        "n_group": 1,
        "topk_group": 1,
    },
    # PEFT does not know what the experts of these were called, and leaves them alone
    "granitemoe": {"num_local_experts": 4},
    "granitemoehybrid": {"num_local_experts": 0, "shared_intermediate_size": 64, "layer_types": ["attention"] * 2},
    "phimoe": {"num_local_experts": 4},
}
ADAPTED = ("mixtral", "qwen3_moe", "deepseek_v2")

LOAD_WITH_PEFT = """
import json, sys, torch
from peft import AutoPeftModelForCausalLM, get_peft_model_state_dict
from safetensors.torch import load_file
model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
file, loaded = load_file(sys.argv[1] + "/adapter_model.safetensors"), get_peft_model_state_dict(model)
ids = torch.arange(3, 67).reshape(2, 32)
with torch.no_grad():
    tuned = model(input_ids=ids).logits
    with model.disable_adapter():
        base = model(input_ids=ids).logits
print(json.dumps({
    "same": file.keys() == loaded.keys() and all(torch.equal(file[name], loaded[name]) for name in file),
    "learnt": sorted({name.split(".")[-3] for name in file if "lora_B" in name and file[name].any()}),
    "changed": (tuned - base).abs().max().item(),
}))
"""


def build(family: str, vocabulary: int = 400) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config: Any = AutoConfig.for_model(family, **{**SHAPE, "vocab_size": vocabulary, **FAMILIES[family]})
    return AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("family", "method"),
    [
        ("mixtral", "lora"),
        ("mixtral", "qlora"),
        ("qwen3_moe", "lora"),
        ("deepseek_v2", "qlora"),
        ("granitemoe", "lora"),
        ("granitemoehybrid", "lora"),
        ("phimoe", "qlora"),
    ],
)
def test_it_learns_by_default(
    family: str, method: str, job: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moe = tmp_path / family
    build(family, make_tokenizer(moe)).save_pretrained(moe)
    job["model"]["source"] = {"uri": f"file://{moe}", "path": str(moe)}
    job["method"] = method
    job["adapter"] = {"rank": 16, "alpha": 32, "targetModules": ["all-linear"]}
    job["training"] |= {"epochs": 1, "gradientCheckpointing": method == "lora"}
    with caplog.at_level(logging.INFO, logger="finetune_trainer"):
        done = start(job)
    assert done.result is not None, done.failure
    assert losses(done)[-1] < losses(done)[0]

    saved = json.loads((done.work.output / "adapter_config.json").read_text())
    adapted = family in ADAPTED
    assert saved["lora_dropout"] == (0.0 if adapted else 0.05)
    assert f"dropout {saved['lora_dropout']:g}" in (done.work.output / "README.md").read_text()
    assert ("the experts' own parameters get an adapter; dropout is 0" in caplog.text) is adapted
    assert ("% of the model's parameters are in 4 bits" in caplog.text) is (method == "qlora")

    plain = subprocess.run(
        [sys.executable, "-c", LOAD_WITH_PEFT, str(done.work.output)], capture_output=True, text=True, check=False
    )
    assert plain.returncode == 0, plain.stderr
    found = json.loads(plain.stdout)
    assert found["same"]
    assert "o_proj" in found["learnt"]
    # PEFT calls the two parameters of a layer's experts so
    assert ({"base_layer", "experts"} <= set(found["learnt"])) is adapted
    assert found["changed"] > 0.01


def adapter(**changes: Any) -> AdapterConfig:
    return AdapterConfig.model_validate({"rank": 4, "alpha": 8, "targetModules": ["all-linear"], **changes})


@pytest.mark.parametrize(
    ("family", "changes", "dropout"),
    [
        ("mixtral", {}, 0.0),
        ("mixtral", {"dropout": 0}, 0.0),
        ("mixtral", {"targetModules": ["q_proj", "v_proj"]}, 0.05),
        ("mixtral", {"targetModules": ["q_proj", "v_proj"], "dropout": 0.2}, 0.2),
        ("mixtral", {"targetModules": ["q_proj", "w2"]}, 0.0),
        ("mixtral", {"targetModules": ["w1", "w2", "w3"]}, 0.0),
        ("qwen3_moe", {"targetModules": ["gate_proj", "up_proj", "down_proj"]}, 0.0),
        ("qwen3_moe", {"targetModules": ["gate"]}, 0.0),
        ("granitemoe", {"dropout": 0.3}, 0.3),
    ],
)
def test_dropout(family: str, changes: dict[str, Any], dropout: float) -> None:
    """As decided; and PEFT takes what is decided."""
    asked, model = adapter(**changes), build(family)
    given = lora.adapter_config(asked, model)
    assert given.lora_dropout == dropout
    adapted = peft.get_peft_model(model, given)
    on_experts = any(type(module).__name__ == "ParamWrapper" for module in adapted.modules())
    assert on_experts is lora.adapts_experts(asked, experts.of(build(family)))


@pytest.mark.parametrize(
    ("family", "changes", "sentence"),
    [
        ("mixtral", {"dropout": 0.1}, r"spec.adapter.dropout: 0.1 can't be, .* MixtralForCausalLM .* set it to 0 or"),
        ("mixtral", {"targetModules": ["q_proj", "w2"], "dropout": 0.1}, "spec.adapter.dropout"),
        ("mixtral", {"targetModules": ["w1"]}, "name both, w1 and w3"),
        ("qwen3_moe", {"targetModules": ["up_proj", "down_proj"]}, "name both, gate_proj and up_proj"),
        (
            "mixtral",
            {"targetModules": ["gate_up_proj"]},
            '"gate_up_proj" is a parameter of experts and not a module; name some of .*, gate, k_proj, .*, w1, w2, w3$',
        ),
        (
            "granitemoe",
            {"targetModules": ["down_proj"]},
            "a parameter of experts and not a module; name some of embed_tokens, k_proj",
        ),
        (
            "mixtral",
            {"targetModules": ["experts"]},
            '"experts" is not a module of Mixtral.* it has embed_tokens, gate, k',
        ),
        ("phimoe", {"targetModules": ["router"]}, '"router" is not a module of'),
        ("deepseek_v2", {"targetModules": ["shared_experts.up_proj"]}, 'can\'t be named alone: .* write "up_proj"'),
    ],
)
def test_refused(family: str, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Failure, match=sentence) as refused:
        lora.adapter_config(adapter(**changes), build(family))
    assert refused.value.outcome is Outcome.BAD_CONFIG


def test_what_peft_leaves_out_is_known() -> None:
    """The dense layer's and the common expert's names are those that the experts had."""
    asked, model = adapter(), build("deepseek_v2")
    left = lora.without_adapter(asked, model)
    assert left == [f"{part}.{name}_proj" for part in ("mlp", "shared_experts") for name in ("down", "gate", "up")]
    adapted = peft.get_peft_model(model, lora.adapter_config(asked, model))
    beside = {name.split(".lora_B")[0] for name, _ in adapted.named_parameters() if "lora_B" in name}
    assert not any(name.endswith(tuple(left)) for name in beside)


def test_every_name_that_peft_knows_is_known() -> None:
    known = transformers_weight_conversion._MOE_TARGET_MODULE_MAPPING.values()
    assert {name for family in known for name in family} == set(experts.FORMER_NAMES)


def test_the_default_is_the_one_that_sizing_counts_with() -> None:
    assert lora.DROPOUT == defaults.DROPOUT
