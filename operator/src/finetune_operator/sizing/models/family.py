"""What a family of models is described by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from finetune_operator.sizing.models import window
from finetune_operator.sizing.models.attention import Builder
from finetune_operator.sizing.models.heads import stated_or_as_many, stated_or_divided
from finetune_operator.sizing.models.keys import Keys, Rule, never


@dataclass(frozen=True, slots=True)
class Family:
    """How to read the configurations of one model_type."""

    attention: Builder
    feed_forward: Builder
    tied: bool = False
    """Whether the output head shares the embedding's weights, where tie_word_embeddings is left out."""
    key_value_heads: Callable[[Keys, int], int] = stated_or_as_many
    """From the number of query heads."""
    head_dim: Callable[[Keys, int, int], int] = stated_or_divided
    """From the width of the residual stream and the number of query heads."""
    norms: Callable[[Keys], int] = lambda _: 2
    """In each layer, as wide as the residual stream."""
    norm_weights: int = 1
    """For each element of a norm: 1 for RMSNorm, 2 for LayerNorm with a bias, 0 for one without weights."""
    outer_norms: int = 1
    """As wide as the residual stream, before the first layer and after the last."""
    parallel: Rule = never
    query_key_norm: Rule = never
    query_key_weights: Literal["head", "width", "counted"] = "head"
    """One weight for each element of a head, for each element of all heads, or counted with the attention."""
    query_key_bias: bool = False
    softcap: bool = False
    """Whether logits pass through a tanh where final_logit_softcapping is left out."""
    window: window.Window = window.none
    positions: int | None = None
    """Learned positions: so many more than max_position_embeddings; None: there are none."""
    head_bias: Rule = never
