"""Every family and every model of the catalogue, built by the installed transformers without weights, and compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.models.config_json import from_config
from finetune_operator.sizing.models.families import FAMILIES
from models.generate import entries

pytestmark = pytest.mark.train

# What transformers' own defaults leave open or contradict.
NEEDED: Mapping[str, dict[str, Any]] = {
    "deepseek_v2": {"num_experts_per_tok": 6},
    "gemma4_assistant": {"text_config": {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}},
    "glm4_moe": {"head_dim": 128},
    "hunyuan_v1_dense": {"head_dim": 128},
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8},
}
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("cohere", {"use_qk_norm": True}),
    ("cohere2", {"attention_bias": True, "layer_types": ["full_attention"], "num_hidden_layers": 1}),
    ("cohere2", {"head_dim": 64, "num_hidden_layers": 1}),
    ("deepseek_v2", {"q_lora_rank": None, "first_k_dense_replace": 1, "attention_bias": True, "mlp_bias": True}),
    ("deepseek_v3", {"attention_bias": True, "n_shared_experts": 2, "num_hidden_layers": 5}),
    ("ernie4_5", {"head_dim": None}),
    ("ernie4_5_moe", {"use_bias": True, "moe_layer_interval": 3, "moe_layer_end_index": 9, "num_hidden_layers": 14}),
    ("exaone4", {"num_hidden_layers": 5}),
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 1, "bias": True}),
    ("falcon", {"new_decoder_architecture": True, "num_ln_in_parallel_attn": 1}),
    ("falcon", {"num_ln_in_parallel_attn": 3}),
    ("falcon", {"multi_query": None, "parallel_attn": None}),
    ("falcon", {"parallel_attn": False, "multi_query": False}),
    ("gemma3_text", {"attention_bias": True, "sliding_window_pattern": 3, "num_hidden_layers": 7}),
    ("glm4_moe", {"use_qk_norm": True, "attention_bias": True}),
    ("glm4_moe_lite", {"num_hidden_layers": 3, "mlp_layer_types": ["sparse", "dense", "sparse"], "q_lora_rank": None}),
    ("gpt2", {"n_inner": 100}),
    ("gpt_bigcode", {"multi_query": False}),
    ("gpt_neox", {"attention_bias": False, "use_parallel_residual": False}),
    ("granite", {"mlp_bias": True, "attention_bias": True}),
    ("granitemoehybrid", {"layer_types": ["attention", "mamba"], "num_hidden_layers": 2, "num_local_experts": 0}),
    ("granitemoehybrid", {"attention_bias": True, "mamba_n_groups": 2, "mamba_conv_bias": False}),
    ("granitemoeshared", {"shared_intermediate_size": 1024}),
    ("internlm3", {"attention_bias": True, "mlp_bias": True}),
    ("lfm2", {"block_auto_adjust_ff_dim": False, "full_attn_idxs": [2, 5], "conv_bias": True}),
    ("lfm2", {"block_ffn_dim_multiplier": 1.3, "block_ff_dim": 6656, "tie_embedding": False}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 64, "num_key_value_heads": 4}),
    ("minimax", {"num_hidden_layers": 3}),
    ("ministral3", {"sliding_window": 10}),
    ("mistral", {"sliding_window": None}),
    ("nemotron", {"mlp_bias": True, "attention_bias": True}),
    ("opt", {"enable_bias": False}),
    ("phi", {"qk_layernorm": True}),
    ("phimoe", {"lm_head_bias": True, "attention_bias": True}),
    ("qwen2", {"use_sliding_window": True, "max_window_layers": 1}),
    ("qwen2_moe", {"use_sliding_window": True, "decoder_sparse_step": 2, "mlp_only_layers": [1]}),
    (
        "qwen3_moe",
        {"use_sliding_window": True, "decoder_sparse_step": 3, "mlp_only_layers": [5], "num_hidden_layers": 9},
    ),
    ("qwen3_next", {"full_attention_interval": 5, "num_hidden_layers": 11, "attention_bias": True}),
    ("seed_oss", {"mlp_bias": True, "attention_out_bias": True}),
    ("smollm3", {"use_sliding_window": True, "sliding_window": 512}),
    ("stablelm", {"qk_layernorm": True, "use_parallel_residual": True, "use_qkv_bias": True}),
    ("starcoder2", {"use_bias": False, "sliding_window": 128}),
)


@pytest.mark.parametrize("model_type", sorted(FAMILIES.keys() - {"gpt-sw3"}))
def test_family_is_as_transformers_builds_it(model_type: str) -> None:
    _compare(model_type, {})


@pytest.mark.parametrize(("model_type", "keys"), VARIANTS)
def test_variant_is_as_transformers_builds_it(model_type: str, keys: dict[str, Any]) -> None:
    _compare(model_type, keys)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.names[0])
def test_catalogue_is_as_transformers_builds_it(entry: Any) -> None:
    config = {key: value for key, value in entry.config.items() if key != "quantization_config"}
    _agree(from_config(entry.config), config.pop("model_type"), config)


def _compare(model_type: str, keys: Mapping[str, Any]) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    # an odd number, so that every second, third, fourth and sixth layer are told apart
    layers = {"num_hidden_layers": 11} if model_type not in ("bloom", "gpt_neo") else {}
    given = {**layers, **NEEDED.get(model_type, {}), **keys}
    # what transformers would save, and so what a new repository on the Hub holds
    saved = CONFIG_MAPPING[model_type](**given).to_dict()
    saved.pop("architectures", None)
    _agree(from_config(saved), model_type, given)
    # those of before layer_types say it by a pattern, or not at all
    unsaid = {"layer_types", "mlp_layer_types"} - given.keys()
    old = {key: value for key, value in saved.items() if key not in unsaid} | given
    assert from_config(old) == from_config(saved)


def _agree(ours: Architecture, model_type: str, keys: Mapping[str, Any]) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[model_type].from_dict(dict(keys))
    builder: Any = AutoModelForCausalLM
    with torch.device("meta"):
        theirs = builder.from_config(config)
    assert ours.parameters == sum(parameter.numel() for parameter in theirs.parameters())
    assert ours.tied_embeddings == (theirs.get_output_embeddings().weight is theirs.get_input_embeddings().weight)
    assert _linears_of(ours) == _linears_in(theirs)
    assert ours.norms_per_layer * ours.layers == _norms_in(theirs)
    assert ours.query_key_norm == _has_query_key_norms(theirs)
    types = getattr(config, "layer_types", None)
    if types is not None:
        assert ours.sliding_layers == sum("sliding" in word for word in types)
    if ours.sliding_layers and model_type != "gpt_neo":
        assert ours.sliding_window == config.sliding_window


def _linears_of(ours: Architecture) -> Counter[tuple[str, int, int, bool]]:
    counted: Counter[tuple[str, int, int, bool]] = Counter()
    for linear in ours.linears:
        if linear.module:
            counted[linear.name, linear.inputs, linear.outputs, linear.bias] += linear.layers * linear.copies
    return counted


def _linears_in(theirs: Any) -> Counter[tuple[str, int, int, bool]]:
    """What PEFT takes for linear layers, but the head."""
    import torch
    from transformers.pytorch_utils import Conv1D

    counted: Counter[tuple[str, int, int, bool]] = Counter()
    for path, module in theirs.named_modules():
        name = path.rpartition(".")[2]
        if module is theirs.get_output_embeddings():
            continue
        if isinstance(module, torch.nn.Linear):
            counted[name, module.in_features, module.out_features, module.bias is not None] += 1
        elif isinstance(module, Conv1D):
            counted[name, module.weight.shape[0], module.weight.shape[1], True] += 1
    return counted


def _norms_in(theirs: Any) -> int:
    """Of the layers, and not of what is in them."""
    import torch

    stacks = (module for module in theirs.modules() if isinstance(module, torch.nn.ModuleList))
    layers = next(stack for stack in stacks if "Layer" in type(stack[0]).__name__ or "Block" in type(stack[0]).__name__)
    return sum("Norm" in type(part).__name__ for layer in layers for part in layer.children())


def _has_query_key_norms(theirs: Any) -> bool:
    return any(re.search(r"\.(q|k|query|key)_(layer)?norm$", path) for path, _ in theirs.named_modules())
