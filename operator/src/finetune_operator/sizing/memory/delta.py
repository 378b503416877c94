"""What a layer with a gated delta rule keeps, counted in transformers' own code: torch_chunk_gated_delta_rule.

transformers 5.23 (models/qwen3_5/modeling_qwen3_5.py) runs that where flash-linear-attention isn't installed, as in the
trainer's image. Bytes for each token of one layer. Nearly all of it is in fp32, with queries and keys copied for each
head of values; autocast rounds both sides of each product once more.
"""

from __future__ import annotations

from finetune_operator.sizing.architecture import Architecture, DeltaRule
from finetune_operator.sizing.memory import norms, precision
from finetune_operator.sizing.setup import Setup

CHUNK = 64
"""Tokens that are computed at a time: the code's default, which the models leave."""


def layers(architecture: Architecture) -> int:
    """How many have it in place of attention."""
    return architecture.delta_rule.layers if architecture.delta_rule else 0


def kept(setup: Setup) -> int:
    """Bytes for each token: of the projections to the gated norm, in the order of the code."""
    rule = setup.architecture.delta_rule
    if rule is None:
        return 0
    total = _projected(setup, rule) + _in_chunks(rule) + _between_chunks(rule) + _products(setup, rule)
    return total + _gated_norm(setup, rule)


def workspace(setup: Setup) -> int:
    """Bytes for each token beside that, at most: an upper bound, by up to 6% of what is kept.

    Forward, when the last chunk is done: the convolution's result, decayed queries and keys, keys times beta and decay,
    and the scores; what the gated norm keeps isn't there yet, and as much of values is. Or within the norm: its
    temporaries. Backward, the gradients within the norm, where its weight is trained too.
    """
    rule = setup.architecture.delta_rule
    if rule is None:
        return 0
    keys, values, pairs = _widths(rule)
    fp32 = precision.FP32
    forward = precision.compute(setup) * rule.convolved + max(3 * fp32 * keys + fp32 * pairs, 10 * values)
    return max(forward, 17 * values)


def _widths(rule: DeltaRule) -> tuple[int, int, int]:
    """Of keys, copied for each head; of values; and of the scores of one token within its chunk."""
    return rule.heads * rule.key_dim, rule.heads * rule.value_dim, rule.heads * CHUNK


def _projected(setup: Setup, rule: DeltaRule) -> int:
    """Input and result of the convolution, and what the matrices before it read where each rounds it."""
    compute = precision.compute(setup)
    linears = setup.architecture.linears
    read = sum(linear.name.startswith("in_proj") for linear in linears) if norms.rounded_by_each(setup) else 0
    return compute * (2 * rule.convolved + read * setup.architecture.hidden_size)


def _in_chunks(rule: DeltaRule) -> int:
    """In fp32.

    Queries and keys before their norm, queries, keys, keys times beta, values; the decay of each pair of a chunk; of
    the triangular solves the system and both solutions, as wide as values and keys. A number for each head: decay,
    time step, beta, both norms and four decays.
    """
    keys, values, pairs = _widths(rule)
    return precision.FP32 * (6 * keys + 2 * values + 2 * pairs + 10 * rule.heads)


def _between_chunks(rule: DeltaRule) -> int:
    """The state before each chunk, one matrix a head, in fp32."""
    return precision.FP32 * rule.heads * rule.key_dim * rule.value_dim // CHUNK


def _products(setup: Setup, rule: DeltaRule) -> int:
    """Both sides of the products, rounded: two within a chunk and four with the state; and three times the scores.

    The state is rounded twice, and what is new in the values too. In fp32 both sides are copied within a chunk all the
    same, to be laid out; of the rest, decayed queries and keys, new values and scores are not kept already.
    """
    keys, values, pairs = _widths(rule)
    compute = precision.compute(setup)
    if compute == precision.FP32:
        return compute * (6 * keys + values + 3 * pairs)
    state = rule.heads * rule.key_dim * rule.value_dim // CHUNK
    return compute * (7 * keys + 2 * values + 3 * pairs + 2 * state)


def _gated_norm(setup: Setup, rule: DeltaRule) -> int:
    """fp32 copies of its input and of the gate, the gate's activation, and the normed values.

    Trained, also what its weight multiplies, and its result, which the last matrix reads.
    """
    trained = 2 * precision.compute(setup) if setup.method == "full" else 0
    each = 3 * precision.FP32 + precision.weight(setup) + trained
    return rule.heads * (rule.value_dim * each + norms.NUMBER)
