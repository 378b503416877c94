"""The matrices of attention, as each family of models names and cuts them.

Names, biases and widths: modeling_*.py of transformers 5.23. tests/finetune_operator/sizing/models/test_transformers.py
builds every family with transformers and compares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from finetune_operator.sizing.architecture import DeltaRule, Linear
from finetune_operator.sizing.models.keys import Keys, Rule, never


@dataclass(frozen=True, slots=True)
class Frame:
    """What every matrix of a layer is measured by."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    head_dim: int

    @property
    def query(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def key_value(self) -> int:
        """Width of all key heads, and of all value heads."""
        return self.key_value_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class Block:
    """One half of the layers: the attention of all layers, or their feed-forward parts."""

    linears: tuple[Linear, ...]
    width: int = 0
    """Of what one token passes through between the matrices of a feed-forward layer; 0 for attention."""
    others: int = 0
    """Parameters that are no matrix and no norm of the residual stream."""
    gated: bool = True
    delta_rule: DeltaRule | None = None
    recurrent: bool = False


Builder = Callable[[Keys, Frame], Block]


def attention(name: str, inputs: int, outputs: int, layers: int, *, bias: bool = False) -> Linear:
    """One matrix of attention."""
    return Linear(name, inputs, outputs, layers, "attention", bias=bias)


def split(out: str = "o_proj", *, bias: Rule = never, out_bias: Rule | None = None) -> Builder:
    """Queries, keys and values from a matrix each. The output has a bias where they have, unless told otherwise."""

    def build(keys: Keys, it: Frame) -> Block:
        has, out_has = bias(keys), (out_bias or bias)(keys)
        return Block(
            (
                attention("q_proj", it.hidden, it.query, it.layers, bias=has),
                attention("k_proj", it.hidden, it.key_value, it.layers, bias=has),
                attention("v_proj", it.hidden, it.key_value, it.layers, bias=has),
                attention(out, it.query, it.hidden, it.layers, bias=out_has),
            )
        )

    return build


def fused(name: str, out: str, *, bias: Rule = never) -> Builder:
    """Queries, keys and values from one matrix."""

    def build(keys: Keys, it: Frame) -> Block:
        has = bias(keys)
        return Block(
            (
                attention(name, it.hidden, it.query + 2 * it.key_value, it.layers, bias=has),
                attention(out, it.query, it.hidden, it.layers, bias=has),
            )
        )

    return build


def latent(*, query_rank: int) -> Builder:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1): keys and values through a narrow one.

    it.head_dim is that of queries and keys; values have one of their own. `query_rank`: where q_lora_rank is left out;
    where it is null queries come from one matrix.
    """

    def build(keys: Keys, it: Frame) -> Block:
        return _latent(keys, it, keys.optional("q_lora_rank", query_rank))

    return build


def _latent(keys: Keys, it: Frame, query_narrow: int | None) -> Block:
    rope, nope, value = (keys.count(f"{part}_head_dim") for part in ("qk_rope", "qk_nope", "v"))
    narrow = keys.count("kv_lora_rank")
    bias = keys.flag("attention_bias", False)
    queries: tuple[Linear, ...] = (attention("q_proj", it.hidden, it.query, it.layers),)
    if query_narrow is not None:
        queries = (
            attention("q_a_proj", it.hidden, query_narrow, it.layers, bias=bias),
            attention("q_b_proj", query_narrow, it.query, it.layers),
        )
    return Block(
        (
            *queries,
            attention("kv_a_proj_with_mqa", it.hidden, narrow + rope, it.layers, bias=bias),
            attention("kv_b_proj", narrow, it.heads * (nope + value), it.layers),
            attention("o_proj", it.heads * value, it.hidden, it.layers, bias=bias),
        ),
        # each narrow stream has a norm
        others=it.layers * (narrow + (query_narrow or 0)),
    )


def with_sinks(inner: Builder) -> Builder:
    """One learned score a head for attending to nothing (gpt-oss)."""

    def build(keys: Keys, it: Frame) -> Block:
        block = inner(keys, it)
        return Block(block.linears, others=block.others + it.layers * it.heads)

    return build


def full_layers(keys: Keys, layers: int, otherwise: int) -> int:
    """Layers with full attention in a model that mixes it with another kind: as layer_types says, else `otherwise`."""
    types = keys.words("layer_types", layers)
    return otherwise if types is None else sum(word in ("full_attention", "attention") for word in types)


def gated_delta(*, together: bool) -> Builder:
    """Some layers have a gated delta rule (arXiv:2412.06464), by default three of four, the others gated attention.

    `together`: the inputs of the delta rule come from two matrices (Qwen3-Next), otherwise from four (Qwen3.5).
    """

    def build(keys: Keys, it: Frame) -> Block:
        full = full_layers(keys, it.layers, it.layers // keys.count("full_attention_interval", 4))
        delta = it.layers - full
        bias = keys.flag("attention_bias", False)
        key_heads, value_heads = keys.count("linear_num_key_heads"), keys.count("linear_num_value_heads")
        value_dim, kernel = keys.count("linear_value_head_dim"), keys.count("linear_conv_kernel_dim")
        key, value = key_heads * keys.count("linear_key_head_dim"), value_heads * value_dim
        inputs = {"in_proj_qkvz": 2 * key + 2 * value, "in_proj_ba": 2 * value_heads}
        if not together:
            inputs = {
                "in_proj_qkv": 2 * key + value,
                "in_proj_z": value,
                "in_proj_b": value_heads,
                "in_proj_a": value_heads,
            }
        return Block(
            _present(
                # the second half of the queries gates the output
                attention("q_proj", it.hidden, 2 * it.query, full, bias=bias),
                attention("k_proj", it.hidden, it.key_value, full, bias=bias),
                attention("v_proj", it.hidden, it.key_value, full, bias=bias),
                attention("o_proj", it.query, it.hidden, full, bias=bias),
                *(attention(name, it.hidden, outputs, delta) for name, outputs in inputs.items()),
                attention("out_proj", value, it.hidden, delta),
            ),
            # queries' and keys' norms; and of a delta layer its convolution, decay, time step and output norm
            others=full * 2 * it.head_dim + delta * ((2 * key + value) * kernel + 2 * value_heads + value_dim),
            delta_rule=DeltaRule(delta, value_heads, key // key_heads, value_dim, 2 * key + value) if delta else None,
            recurrent=delta > 0,
        )

    return build


def lightning(keys: Keys, it: Frame) -> Block:
    """MiniMax-Text-01 (arXiv:2501.08313): linear attention with a gate in some layers, full attention in others."""
    full = full_layers(keys, it.layers, (it.layers + 1) // 2)
    linear = it.layers - full
    return Block(
        _present(
            attention("q_proj", it.hidden, it.query, full),
            attention("k_proj", it.hidden, it.key_value, full),
            attention("v_proj", it.hidden, it.key_value, full),
            attention("o_proj", it.query, it.hidden, full),
            attention("qkv_proj", it.hidden, 3 * it.query, linear),
            attention("output_gate", it.hidden, it.query, linear),
            attention("out_proj", it.query, it.hidden, linear),
        ),
        others=linear * it.query,
        recurrent=linear > 0,
    )


def with_short_convolutions(keys: Keys, it: Frame) -> Block:
    """LFM2: attention in the layers that layer_types or full_attn_idxs says, in the others a short convolution."""
    listed = keys.values.get("full_attn_idxs") is not None
    full = full_layers(keys, it.layers, len(keys.indices("full_attn_idxs", it.layers)) if listed else it.layers)
    conv = it.layers - full
    bias = keys.flag("conv_bias", False)
    kernel = keys.count("conv_L_cache", 3) + bias
    return Block(
        _present(
            attention("q_proj", it.hidden, it.query, full),
            attention("k_proj", it.hidden, it.key_value, full),
            attention("v_proj", it.hidden, it.key_value, full),
            attention("out_proj", it.query, it.hidden, full),
            attention("in_proj", it.hidden, 3 * it.hidden, conv, bias=bias),
            attention("out_proj", it.hidden, it.hidden, conv, bias=bias),
        ),
        # queries' and keys' norms, and the convolution of each channel
        others=full * 2 * it.head_dim + conv * it.hidden * kernel,
        recurrent=conv > 0,
    )


def with_mamba(keys: Keys, it: Frame) -> Block:
    """Granite 4: attention in the layers that layer_types says, Mamba-2 (arXiv:2405.21060) in the others."""
    full = full_layers(keys, it.layers, 0)
    mamba = it.layers - full
    bias = keys.flag("attention_bias", False)
    heads, state = keys.count("mamba_n_heads", 128), keys.count("mamba_d_state", 256)
    inner = keys.count("mamba_expand", 2) * it.hidden
    mixed = inner + 2 * keys.count("mamba_n_groups", 1) * state
    kernel = keys.count("mamba_d_conv", 4) + keys.flag("mamba_conv_bias", True)
    proj_bias = keys.flag("mamba_proj_bias", False)
    return Block(
        _present(
            attention("q_proj", it.hidden, it.query, full, bias=bias),
            attention("k_proj", it.hidden, it.key_value, full, bias=bias),
            attention("v_proj", it.hidden, it.key_value, full, bias=bias),
            attention("o_proj", it.query, it.hidden, full, bias=bias),
            attention("in_proj", it.hidden, inner + mixed + heads, mamba, bias=proj_bias),
            attention("out_proj", inner, it.hidden, mamba, bias=proj_bias),
        ),
        # time step, decay and skip of each head, the convolution, the norm before the output
        others=mamba * (3 * heads + mixed * kernel + inner),
        recurrent=mamba > 0,
    )


def _present(*linears: Linear) -> tuple[Linear, ...]:
    return tuple(linear for linear in linears if linear.layers)
