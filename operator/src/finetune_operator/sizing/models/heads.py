"""How many heads keys and values have, and how wide a head is, as each family says it."""

from __future__ import annotations

from collections.abc import Callable

from finetune_operator.sizing.models.keys import Keys

_KEY = "num_key_value_heads"


def stated_or_as_many(keys: Keys, heads: int) -> int:
    """The key must be there; null: as many as query heads."""
    if keys.name_of(_KEY) in keys.values:
        return keys.count(_KEY, heads)
    return keys.count(_KEY)


def or_as_many(keys: Keys, heads: int) -> int:
    """Missing or null: as many as query heads."""
    return keys.count(_KEY, heads)


def as_many(keys: Keys, heads: int) -> int:  # noqa: ARG001
    """Always as many as query heads."""
    return heads


def one_if(key: str) -> Callable[[Keys, int], int]:
    """One, where the key says so or is left out; otherwise as many as query heads (arXiv:1911.02150)."""
    return lambda keys, heads: 1 if keys.flag(key, True) else heads


def falcon_key_values(keys: Keys, heads: int) -> int:
    """num_kv_heads counts in the new decoder architecture alone."""
    if keys.flag("new_decoder_architecture", False):
        return keys.count(_KEY, heads)
    return one_if("multi_query")(keys, heads)


def head_dim(default: int) -> Callable[[Keys, int, int], int]:
    """head_dim; where it is missing the default, where it is null hidden_size / num_attention_heads."""

    def rule(keys: Keys, hidden: int, heads: int) -> int:
        stated = keys.optional("head_dim", default)
        return divided(keys, hidden, heads) if stated is None else stated

    return rule


def stated_or_divided(keys: Keys, hidden: int, heads: int) -> int:
    """head_dim; where it is missing or null hidden_size / num_attention_heads."""
    if keys.values.get("head_dim") is None:
        return divided(keys, hidden, heads)
    return keys.count("head_dim")


def divided(keys: Keys, hidden: int, heads: int) -> int:
    """hidden_size / num_attention_heads, which must come out even."""
    if hidden % heads:
        raise keys.error(
            keys.name_of("hidden_size"),
            f"is {hidden}, which {heads} heads ({keys.name_of('num_attention_heads')}) don't divide",
        )
    return hidden // heads


def latent_head_dim(keys: Keys, hidden: int, heads: int) -> int:  # noqa: ARG001
    """Of queries and keys: a part that is rotated and one that isn't (arXiv:2405.04434, section 2.1.3)."""
    return keys.count("qk_rope_head_dim") + keys.count("qk_nope_head_dim")
