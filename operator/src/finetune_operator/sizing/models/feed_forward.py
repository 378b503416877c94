"""The matrices of feed-forward layers, dense and mixed of experts, as each family of models names and cuts them.

transformers 5.23 keeps the experts of every family in two bare parameters of three dimensions, however the
checkpoint's files name them: neither PEFT nor bitsandbytes sees linear layers in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from finetune_operator.sizing.architecture import Linear
from finetune_operator.sizing.models.attention import Block, Builder, Frame
from finetune_operator.sizing.models.keys import Keys, Rule, never

Count = Callable[[Keys, Frame], int]
"""A number that a configuration says: a width, or how many layers have something."""

GATED = ("gate_proj", "up_proj", "down_proj")


def gated(*, bias: Rule = never, names: Sequence[str] = GATED) -> Builder:
    """Gate and up projection, multiplied, then down (SwiGLU: arXiv:2002.05202)."""

    def build(keys: Keys, it: Frame) -> Block:
        width = keys.count("intermediate_size")
        return Block(_gated(names, it.hidden, width, it.layers, bias=bias(keys)), width)

    return build


def gated_fused(*, up: str = "gate_up_proj", down: str = "down_proj", key: str = "intermediate_size") -> Builder:
    """As `gated`, gate and up projection in one matrix."""

    def build(keys: Keys, it: Frame) -> Block:
        width = keys.count(key)
        return Block((_mlp(up, it.hidden, 2 * width, it.layers), _mlp(down, width, it.hidden, it.layers)), width)

    return build


def gated_rounded(keys: Keys, it: Frame) -> Block:
    """As `gated`, two thirds as wide as intermediate_size says, rounded up to a multiple (LFM2; Llama 1's rule)."""
    width = keys.count("intermediate_size" if keys.values.get("block_ff_dim") is None else "block_ff_dim")
    if keys.flag("block_auto_adjust_ff_dim", True):
        width = int(keys.factor("block_ffn_dim_multiplier", 1.0) * (2 * width // 3))
        multiple = keys.count("block_multiple_of", 256)
        width = max(1, -(-width // multiple)) * multiple
    return Block(_gated(("w1", "w3", "w2"), it.hidden, width, it.layers, bias=False), width)


def plain(up: str, down: str, *, bias: Rule = never, width: Count | None = None, others: int = 0) -> Builder:
    """Up and down, with an activation between that has `others` parameters a layer."""

    def build(keys: Keys, it: Frame) -> Block:
        wide = width(keys, it) if width else keys.count("intermediate_size")
        has = bias(keys)
        return Block(
            (_mlp(up, it.hidden, wide, it.layers, bias=has), _mlp(down, wide, it.hidden, it.layers, bias=has)),
            wide,
            others=it.layers * others,
            gated=False,
        )

    return build


def four_times(keys: Keys, it: Frame) -> int:
    """The width where it is left out: four times the residual stream's."""
    return keys.count("intermediate_size", 4 * it.hidden)


def always_four_times(keys: Keys, it: Frame) -> int:  # noqa: ARG001
    """The width of families that give no choice."""
    return 4 * it.hidden


def experts(
    *,
    router: str = "gate",
    key: str = "moe_intermediate_size",
    sparse: Count | None = None,
    shared: Count | None = None,
    bias: bool = False,
    dense_bias: Rule = never,
    router_is_linear: bool = False,
    shared_gate: bool = False,
    corrected: bool = False,
) -> Builder:
    """Several gated layers, some of which a token passes through (arXiv:2101.03961), beside one that all tokens do.

    `key` holds the width of one expert, `sparse` tells how many layers have experts (left out: all; the others are
    dense) and `shared` how wide the one is that all tokens pass through. `corrected`: the router has a parameter more
    for each expert.
    """

    def build(keys: Keys, it: Frame) -> Block:
        layers = sparse(keys, it) if sparse else it.layers
        dense = it.layers - layers
        linears: list[Linear] = []
        width = others = 0
        if dense:
            width = keys.count("intermediate_size")
            linears += _gated(GATED, it.hidden, width, dense, bias=dense_bias(keys))
        if layers:
            number, active, one = keys.count("num_experts"), keys.count("num_experts_per_tok"), keys.count(key)
            if active > number:
                name, experts = keys.name_of("num_experts_per_tok"), keys.name_of("num_experts")
                raise keys.error(name, f"is {active}; the model has {number} experts ({experts})")
            linears += (
                Linear(router, it.hidden, number, layers, "router", bias=bias, module=router_is_linear),
                _expert("gate_up_proj", it.hidden, 2 * one, layers, number, active, bias=bias),
                _expert("down_proj", one, it.hidden, layers, number, active, bias=bias),
            )
            common = shared(keys, it) if shared else 0
            if common:
                linears += _gated(GATED, it.hidden, common, layers, bias=dense_bias(keys))
            if shared_gate:
                linears.append(Linear("shared_expert_gate", it.hidden, 1, layers, "router"))
            others = layers * number if corrected else 0
            width = max(width, active * one + common)
        return Block(tuple(linears), width, others)

    return build


def by_step(keys: Keys, it: Frame) -> int:
    """Layers with experts: every decoder_sparse_step-th, except mlp_only_layers (Qwen)."""
    step = keys.count("decoder_sparse_step", 1)
    dense = keys.indices("mlp_only_layers", it.layers)
    return sum((i + 1) % step == 0 and i not in dense for i in range(it.layers))


def after_first(default: int) -> Count:
    """Layers with experts: all after the first so many (DeepSeek)."""
    return lambda keys, it: max(it.layers - keys.count("first_k_dense_replace", default, zero=True), 0)


def sparse_by_type(keys: Keys, it: Frame) -> int:
    """Layers with experts: those that mlp_layer_types calls sparse; without it, all but the first (GLM-4.7-Flash)."""
    types = keys.words("mlp_layer_types", it.layers)
    return it.layers - 1 if types is None else sum(word == "sparse" for word in types)


def between(keys: Keys, it: Frame) -> int:
    """Layers with experts: every so many from one to another, both included; -1 means the last (ERNIE 4.5)."""
    first, every = keys.count("moe_layer_start_index", 1, zero=True), keys.count("moe_layer_interval", 1)
    last = it.layers - 1
    if keys.values.get("moe_layer_end_index", -1) != -1:
        last = min(keys.count("moe_layer_end_index", zero=True), last)
    return sum((i + 1) % every == 0 for i in range(first, last + 1))


def shared_width(key: str, default: int | None = None) -> Count:
    """The width of the expert for all tokens is a key's value."""
    return lambda keys, _: keys.count(key, default, zero=True)


def shared_experts(key: str, default: int) -> Count:
    """The expert for all tokens is as wide as so many of the others."""
    return lambda keys, _: keys.count(key, default, zero=True) * keys.count("moe_intermediate_size")


def beside(inner: Builder, up: str, down: str, key: str, default: int) -> Builder:
    """Experts, where there are any, and beside them a gated layer for all tokens of its own names (Granite).

    `key` holds its width, `default` is what it is where the key is left out.
    """

    def build(keys: Keys, it: Frame) -> Block:
        width = keys.count(key, default, zero=True)
        number = keys.count("num_experts", zero=True)
        block = inner(keys, it) if number else Block(())
        common: tuple[Linear, ...] = ()
        if width:
            common = (_mlp(up, it.hidden, 2 * width, it.layers), _mlp(down, width, it.hidden, it.layers))
        return Block((*block.linears, *common), block.width + width, block.others)

    return build


def _mlp(name: str, inputs: int, outputs: int, layers: int, *, bias: bool = False) -> Linear:
    return Linear(name, inputs, outputs, layers, "mlp", bias=bias)


def _gated(names: Sequence[str], hidden: int, width: int, layers: int, *, bias: bool) -> tuple[Linear, ...]:
    gate, up, down = names
    return (
        _mlp(gate, hidden, width, layers, bias=bias),
        _mlp(up, hidden, width, layers, bias=bias),
        _mlp(down, width, hidden, layers, bias=bias),
    )


def _expert(name: str, inputs: int, outputs: int, layers: int, copies: int, active: int, *, bias: bool) -> Linear:
    return Linear(name, inputs, outputs, layers, "mlp", copies, active, bias, module=False)
