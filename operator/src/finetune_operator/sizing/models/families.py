"""What each family of models has of its own: one row for each model_type whose shape is known.

Where a key may be left out, the row's default is that of the family's configuration_*.py in transformers 5.23. A key
that decides the shape and has no default here is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from finetune_operator.sizing.models import window
from finetune_operator.sizing.models.attention import (
    Builder,
    fused,
    gated_delta,
    latent,
    lightning,
    split,
    with_mamba,
    with_short_convolutions,
    with_sinks,
)
from finetune_operator.sizing.models.family import Family
from finetune_operator.sizing.models.feed_forward import (
    after_first,
    always_four_times,
    beside,
    between,
    by_step,
    experts,
    four_times,
    gated,
    gated_fused,
    gated_rounded,
    plain,
    shared_experts,
    shared_width,
    sparse_by_type,
)
from finetune_operator.sizing.models.heads import (
    as_many,
    divided,
    falcon_key_values,
    head_dim,
    latent_head_dim,
    one_if,
    or_as_many,
    stated_or_as_many,
    stated_or_divided,
)
from finetune_operator.sizing.models.keys import Keys, always, never, stated


def _number(value: int) -> Callable[[Keys], int]:
    return lambda _: value


def _falcon_norms(keys: Keys) -> int:
    """Attention and feed-forward layer read one norm, or one each."""
    if not keys.flag("parallel_attn", True):
        return 2
    stated = keys.count("num_ln_in_parallel_attn", 2 if keys.flag("new_decoder_architecture", False) else 1)
    return 2 if stated == 2 else 1


def _falcon_parallel(keys: Keys) -> bool:
    return keys.flag("new_decoder_architecture", False) or keys.flag("parallel_attn", True)


def _stablelm_norms(keys: Keys) -> int:
    return 1 if keys.flag("use_parallel_residual", False) else 2


def _internlm_bias(keys: Keys) -> bool:
    """The model's own code has one name for the bias of all matrices, transformers two that must agree."""
    return keys.flag("bias", keys.flag("mlp_bias", False))


_biased = stated("attention_bias")

_LLAMA = Family(split(bias=_biased), gated(bias=stated("mlp_bias")), key_value_heads=or_as_many)
_MISTRAL = Family(split(), gated(), window=window.everywhere(4096))
_QWEN2 = Family(split(bias=always, out_bias=never), gated(), window=window.from_layer)
_QWEN3 = Family(split(bias=_biased), gated(), head_dim=head_dim(128), query_key_norm=always, window=window.from_layer)
_QWEN_SHARED = shared_width("shared_expert_intermediate_size")
_QWEN35 = Family(
    gated_delta(together=False),
    gated(),
    head_dim=head_dim(256),
    query_key_norm=always,
    query_key_weights="counted",
)
_GEMMA = Family(split(bias=_biased), gated(), tied=True, head_dim=head_dim(256))
_GEMMA2 = replace(_GEMMA, norms=_number(4), softcap=True, window=window.all_but_every(2, 4096))
_GPT2 = Family(
    fused("c_attn", "c_proj", bias=always),
    plain("c_fc", "c_proj", bias=always, width=four_times),
    tied=True,
    key_value_heads=as_many,
    head_dim=divided,
    norm_weights=2,
    positions=0,
)
_GPTJ = replace(
    _GPT2,
    attention=split("out_proj"),
    feed_forward=plain("fc_in", "fc_out", bias=always, width=four_times),
    tied=False,
    norms=_number(1),
    parallel=always,
    positions=None,
    head_bias=always,
)
_NEOX = Family(
    fused("query_key_value", "dense", bias=stated("attention_bias", True)),
    plain("dense_h_to_4h", "dense_4h_to_h", bias=always),
    key_value_heads=as_many,
    head_dim=divided,
    norm_weights=2,
    parallel=stated("use_parallel_residual", True),
)
_OLMO2 = Family(
    split(bias=_biased), gated(), key_value_heads=or_as_many, query_key_norm=always, query_key_weights="width"
)
_COHERE = Family(
    split(bias=_biased),
    gated(),
    tied=True,
    key_value_heads=or_as_many,
    norms=_number(1),
    parallel=always,
    query_key_norm=stated("use_qk_norm"),
    query_key_weights="width",
)
_GRANITE_EXPERTS = experts(router="router", key="intermediate_size")


def _granite_shared(width: int) -> Builder:
    """Experts and a layer for all tokens, so wide where shared_intermediate_size is left out."""
    return beside(_GRANITE_EXPERTS, "input_linear", "output_linear", "shared_intermediate_size", width)


_DEEPSEEK3 = Family(
    latent(query_rank=1536),
    experts(sparse=after_first(3), shared=shared_experts("n_shared_experts", 1)),
    key_value_heads=as_many,
    head_dim=latent_head_dim,
)
_GLM = Family(split(bias=stated("attention_bias", True), out_bias=never), gated_fused(), head_dim=head_dim(128))
_ERNIE = Family(split(bias=stated("use_bias")), gated(bias=stated("use_bias")), tied=True, head_dim=head_dim(128))

FAMILIES: Mapping[str, Family] = {
    "apertus": Family(
        # its activation learns two numbers a layer
        split(bias=_biased),
        plain("up_proj", "down_proj", others=2),
        key_value_heads=or_as_many,
        query_key_norm=always,
    ),
    "arcee": replace(_LLAMA, feed_forward=plain("up_proj", "down_proj", bias=stated("mlp_bias"))),
    "bloom": Family(
        fused("query_key_value", "dense", bias=always),
        plain("dense_h_to_4h", "dense_4h_to_h", bias=always, width=always_four_times),
        tied=True,
        key_value_heads=as_many,
        head_dim=divided,
        norm_weights=2,
        outer_norms=2,
    ),
    "codegen": replace(_GPTJ, attention=fused("qkv_proj", "out_proj")),
    "cohere": _COHERE,
    "cohere2": replace(_COHERE, query_key_norm=never, window=window.all_but_every(4, 4096)),
    "deepseek_v2": replace(
        _DEEPSEEK3,
        feed_forward=experts(
            sparse=after_first(0), shared=shared_experts("n_shared_experts", 2), dense_bias=stated("mlp_bias")
        ),
    ),
    "deepseek_v3": _DEEPSEEK3,
    "ernie4_5": _ERNIE,
    "ernie4_5_moe": replace(
        _ERNIE,
        feed_forward=experts(
            sparse=between,
            shared=shared_experts("moe_num_shared_experts", 2),
            dense_bias=stated("use_bias"),
            corrected=True,
        ),
        head_dim=stated_or_divided,
        head_bias=stated("use_bias"),
    ),
    "exaone4": Family(split(), gated(), query_key_norm=always, window=window.all_but_every(4, 4096)),
    "falcon": Family(
        fused("query_key_value", "dense", bias=stated("bias")),
        plain("dense_h_to_4h", "dense_4h_to_h", bias=stated("bias"), width=four_times),
        tied=True,
        key_value_heads=falcon_key_values,
        head_dim=divided,
        norms=_falcon_norms,
        norm_weights=2,
        parallel=_falcon_parallel,
    ),
    "flex_olmo": replace(_OLMO2, feed_forward=experts(key="intermediate_size")),
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": replace(_GEMMA2, softcap=False, query_key_norm=always, window=window.all_but_every(6, 4096)),
    "glm": _GLM,
    "glm4": replace(_GLM, norms=_number(4)),
    "glm4_moe": Family(
        split(bias=_biased, out_bias=never),
        experts(sparse=after_first(1), shared=shared_experts("n_shared_experts", 1)),
        query_key_norm=stated("use_qk_norm"),
    ),
    "glm4_moe_lite": replace(
        _DEEPSEEK3,
        attention=latent(query_rank=768),
        feed_forward=experts(sparse=sparse_by_type, shared=shared_experts("n_shared_experts", 1)),
    ),
    "gpt2": _GPT2,
    "gpt-sw3": _GPT2,
    "gpt_bigcode": replace(_GPT2, key_value_heads=one_if("multi_query")),
    "gpt_neo": replace(_GPT2, attention=split("out_proj", out_bias=always), window=window.local),
    "gpt_neox": _NEOX,
    "gpt_oss": Family(
        with_sinks(split(bias=stated("attention_bias", True))),
        experts(router="router", key="intermediate_size", bias=True),
        head_dim=head_dim(64),
        window=window.all_but_every(2, 128),
    ),
    "gptj": _GPTJ,
    "granite": _LLAMA,
    "granitemoe": Family(split(bias=_biased), _GRANITE_EXPERTS, key_value_heads=or_as_many),
    "granitemoehybrid": Family(with_mamba, _granite_shared(1024), key_value_heads=or_as_many),
    "granitemoeshared": Family(split(bias=_biased), _granite_shared(0), key_value_heads=or_as_many),
    "helium": Family(split(bias=_biased, out_bias=never), gated(bias=stated("mlp_bias")), head_dim=head_dim(128)),
    "hunyuan_v1_dense": Family(split(bias=_biased), gated(), key_value_heads=or_as_many, query_key_norm=always),
    "internlm3": Family(split(bias=_internlm_bias), gated(bias=_internlm_bias), head_dim=head_dim(128)),
    "lfm2": Family(
        with_short_convolutions,
        gated_rounded,
        tied=True,
        query_key_norm=always,
        query_key_weights="counted",
    ),
    "llama": _LLAMA,
    "minimax": Family(lightning, experts(key="intermediate_size")),
    "minimax_m2": Family(
        split(),
        experts(key="intermediate_size"),
        head_dim=head_dim(128),
        query_key_norm=always,
        query_key_weights="width",
    ),
    "ministral": replace(_MISTRAL, window=window.by_type),
    "ministral3": replace(_MISTRAL, head_dim=head_dim(128), window=window.everywhere()),
    "mistral": _MISTRAL,
    "mixtral": Family(split(), experts(key="intermediate_size"), window=window.everywhere()),
    "mpt": Family(
        fused("Wqkv", "out_proj"),
        plain("up_proj", "down_proj", width=always_four_times),
        tied=True,
        key_value_heads=as_many,
        head_dim=divided,
    ),
    "nemotron": Family(split(bias=_biased), plain("up_proj", "down_proj", bias=stated("mlp_bias")), norm_weights=2),
    "olmo": Family(split(bias=_biased), gated(), key_value_heads=or_as_many, norm_weights=0),
    "olmo2": _OLMO2,
    "olmo3": replace(_OLMO2, window=window.all_but_every(4, 4096)),
    "olmoe": replace(_OLMO2, feed_forward=experts(key="intermediate_size")),
    "opt": Family(
        split("out_proj", bias=stated("enable_bias", True)),
        plain("fc1", "fc2", bias=stated("enable_bias", True)),
        tied=True,
        key_value_heads=as_many,
        head_dim=divided,
        norm_weights=2,
        # the first two are never used
        positions=2,
    ),
    "phi": Family(
        split("dense", bias=always),
        plain("fc1", "fc2", bias=always),
        key_value_heads=or_as_many,
        norms=_number(1),
        norm_weights=2,
        parallel=always,
        query_key_norm=stated("qk_layernorm"),
        query_key_bias=True,
        head_bias=always,
    ),
    "phi3": Family(fused("qkv_proj", "o_proj"), gated_fused(), key_value_heads=or_as_many, window=window.everywhere()),
    "phimoe": Family(
        split(bias=_biased),
        experts(router="router", key="intermediate_size", router_is_linear=True),
        norm_weights=2,
        window=window.everywhere(),
        head_bias=stated("lm_head_bias"),
    ),
    "qwen2": _QWEN2,
    "qwen2_moe": Family(
        split(bias=stated("qkv_bias", True), out_bias=never),
        experts(sparse=by_step, shared=_QWEN_SHARED, shared_gate=True),
        window=window.until_layer,
    ),
    "qwen3": _QWEN3,
    "qwen3_5_moe_text": replace(_QWEN35, feed_forward=experts(shared=_QWEN_SHARED, shared_gate=True)),
    "qwen3_5_text": _QWEN35,
    "qwen3_moe": replace(
        _QWEN3, feed_forward=experts(sparse=by_step), head_dim=stated_or_divided, window=window.where_used
    ),
    "qwen3_next": replace(
        _QWEN35,
        attention=gated_delta(together=True),
        feed_forward=experts(sparse=by_step, shared=_QWEN_SHARED, shared_gate=True),
    ),
    "seed_oss": Family(
        split(bias=stated("attention_bias", True), out_bias=stated("attention_out_bias")),
        gated(bias=stated("mlp_bias")),
        head_dim=head_dim(128),
    ),
    "smollm3": replace(_LLAMA, tied=True, key_value_heads=stated_or_as_many, window=window.without_positions),
    "stablelm": Family(
        split(bias=stated("use_qkv_bias"), out_bias=never),
        gated(),
        head_dim=divided,
        norms=_stablelm_norms,
        norm_weights=2,
        parallel=stated("use_parallel_residual"),
        query_key_norm=stated("qk_layernorm"),
        query_key_weights="width",
    ),
    "starcoder2": Family(
        split(bias=stated("use_bias", True)),
        plain("c_fc", "c_proj", bias=stated("use_bias", True)),
        tied=True,
        norm_weights=2,
        window=window.everywhere(),
    ),
}
"""By model_type."""
