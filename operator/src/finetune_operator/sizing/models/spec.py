"""The shape of a model from what its user writes in spec.model.architecture."""

from __future__ import annotations

from finetune_api.spec.model import Architecture as Given
from finetune_operator.sizing.architecture import Architecture, Linear
from finetune_operator.sizing.models.attention import Frame, attention
from finetune_operator.sizing.models.keys import ModelError

CUSTOM = "custom"
WHERE = "spec.model.architecture"
# A figure of parameters is often rounded (7B for 7.2B), but not by more than this share.
_ROUNDING = 0.1


def from_spec(given: Given) -> Architecture:
    """A decoder as Llama's, with as many parameters as it is said to have, of which one token meets activeParameters.

    What the shape doesn't explain is in `other_parameters`; the norms are at least there. The feed-forward layer has a
    gate unless the figure is a tenth or less from the shape without, and nearer to it. With activeParameters it is
    split into experts, each intermediateSize wide: as many as the parameters give, of which a token meets as many as
    the active ones give. As in transformers, no adapter can be put on experts.

    Raises ModelError, with the numbers, where heads don't divide what they must, or the shape alone has over a tenth
    more parameters than said.
    """
    it = _frame(given)
    attentions = (
        attention("q_proj", it.hidden, it.query, it.layers),
        attention("k_proj", it.hidden, it.key_value, it.layers),
        attention("v_proj", it.hidden, it.key_value, it.layers),
        attention("o_proj", it.query, it.hidden, it.layers),
    )
    norms = (2 * it.layers + 1) * it.hidden
    embeddings = given.vocabulary_size * it.hidden * (1 if given.tied_embeddings else 2)
    outside = sum(linear.weights for linear in attentions) + embeddings + norms
    feed_forward = _experts(given, it, outside) if _is_mixture(given) else _dense(given, it, outside)
    explained = outside + sum(linear.weights for linear in feed_forward)
    if given.parameters < explained * (1 - _ROUNDING):
        raise _contradiction("parameters", given.parameters, "has", explained)
    down = feed_forward[-1]
    return Architecture(
        model_type=CUSTOM,
        hidden_size=it.hidden,
        layers=it.layers,
        vocabulary_size=given.vocabulary_size,
        attention_heads=it.heads,
        key_value_heads=it.key_value_heads,
        head_dim=it.head_dim,
        intermediate_size=down.inputs * down.active,
        linears=(*attentions, *feed_forward),
        tied_embeddings=given.tied_embeddings,
        other_parameters=norms + max(given.parameters - explained, 0),
        gated=len(feed_forward) > 2,
    )


def _frame(given: Given) -> Frame:
    heads = given.attention_heads
    key_value_heads = given.key_value_heads or heads
    if heads % key_value_heads:
        raise ModelError(f"{WHERE}.keyValueHeads: {key_value_heads} doesn't divide attentionHeads, {heads}")
    if given.head_dim is None and given.hidden_size % heads:
        raise ModelError(
            f"{WHERE}.attentionHeads: {heads} doesn't divide hiddenSize, {given.hidden_size}; "
            "correct one of them, or give headDim"
        )
    return Frame(given.hidden_size, given.layers, heads, key_value_heads, given.head_dim or given.hidden_size // heads)


def _is_mixture(given: Given) -> bool:
    active = given.active_parameters
    if active is not None and active > given.parameters:
        raise ModelError(f"{WHERE}.activeParameters: {active} is more than parameters, {given.parameters}")
    return active is not None and active < given.parameters


def _dense(given: Given, it: Frame, outside: int) -> tuple[Linear, ...]:
    width = given.intermediate_size
    up, down = _mlp("up_proj", it.hidden, width, it), _mlp("down_proj", width, it.hidden, it)
    gated = (_mlp("gate_proj", it.hidden, width, it), up, down)
    plain = outside + up.weights + down.weights
    misses_by = abs(given.parameters - plain)
    is_plain = misses_by <= plain * _ROUNDING and misses_by < abs(given.parameters - plain - up.weights)
    return (up, down) if is_plain else gated


def _experts(given: Given, it: Frame, outside: int) -> tuple[Linear, ...]:
    width = given.intermediate_size
    one = 3 * it.hidden * width * it.layers
    active = given.active_parameters or given.parameters
    if active < (outside + one) * (1 - _ROUNDING):
        raise _contradiction("activeParameters", active, "with one expert has", outside + one)
    number, met = (max(round((figure - outside) / one), 1) for figure in (given.parameters, active))
    return (
        Linear("gate", it.hidden, number, it.layers, "router", module=False),
        Linear("gate_up_proj", it.hidden, 2 * width, it.layers, "mlp", number, met, module=False),
        Linear("down_proj", width, it.hidden, it.layers, "mlp", number, met, module=False),
    )


def _mlp(name: str, inputs: int, outputs: int, it: Frame) -> Linear:
    return Linear(name, inputs, outputs, it.layers, "mlp")


def _contradiction(field: str, said: int, has: str, explained: int) -> ModelError:
    return ModelError(
        f"{WHERE}.{field}: is {said / 1e9:.3g} billion, but the shape {has} {explained / 1e9:.3g} billion; "
        "correct the figure or the sizes"
    )
