"""The keys of a config.json, each read with its type, its range and its other names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Other names of one thing: what a family's own class calls it (attribute_map and __post_init__ in transformers).
_OTHER_NAMES: Mapping[str, Sequence[str]] = {
    "hidden_size": ("n_embd", "n_embed", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "num_key_value_heads": ("num_kv_heads",),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size"),
    "max_position_embeddings": ("n_positions", "max_seq_len"),
    "num_experts": ("num_local_experts", "n_routed_experts", "moe_num_experts"),
    "num_experts_per_tok": ("moe_k",),
    "layer_types": ("layers_block_type",),
}
# Ten times what any model has: anything above is a slip, and lists as long as a model has layers stay short.
_MOST = {"num_hidden_layers": 2_000}
_MOST_OF_ANY = 2**31


class ModelError(ValueError):
    """A model's shape cannot be known, or it is not one that is trained here. The text is for the user."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A config.json, key by key. Every method raises ModelError naming the key, its value and what is wrong."""

    values: Mapping[str, Any]
    where: str = "config.json"

    def error(self, key: str, what: str) -> ModelError:
        """To be raised: `key` is at fault."""
        return ModelError(f"{self.where}: {key} {what}")

    def name_of(self, key: str) -> str:
        """As which of its names the key is there; its own where it isn't."""
        names = (key, *_OTHER_NAMES.get(key, ()))
        return next((name for name in names if self.values.get(name) is not None), key)

    def count(self, key: str, default: int | None = None, *, zero: bool = False) -> int:
        """A whole number above 0 (with `zero`: or 0); the default where the key is missing or null."""
        name = self.name_of(key)
        value = self.values.get(name)
        if value is None:
            if default is None:
                raise self.error(key, "is missing; it is needed to size the model")
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(name, f"is {_shown(value)}; it must be a whole number")
        if value < (0 if zero else 1):
            raise self.error(name, f"is {value}; it must be {'0 or more' if zero else 'above 0'}")
        if value > (most := _MOST.get(key, _MOST_OF_ANY)):
            raise self.error(name, f"is {value}; no model has more than {most}")
        return value

    def optional(self, key: str, default: int | None = None) -> int | None:
        """As `count`; where the key is missing the default, and None where it is null."""
        name = self.name_of(key)
        if name not in self.values:
            return default
        return None if self.values[name] is None else self.count(key)

    def factor(self, key: str, default: float) -> float:
        """A number above 0, a thousand at most; the default where the key is missing or null."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1000:
            raise self.error(key, f"is {_shown(value)}; it must be a number above 0, and 1000 at most")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false; the default where the key is missing. Null is no, as Python has it in transformers."""
        value = self.values.get(key, default)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.error(key, f"is {_shown(value)}; it must be true or false")
        return value

    def mapping(self, key: str) -> Keys:
        """What is nested under a key; nothing where it is missing or null."""
        value = self.values.get(key)
        if value is None:
            return Keys({}, self.where)
        if not isinstance(value, Mapping):
            raise self.error(key, f"is {_shown(value)}; it must be an object")
        return Keys(value, f"{self.where}: {key}")

    def words(self, key: str, length: int) -> Sequence[str] | None:
        """One word for each of `length` layers; None where the key is missing or null."""
        name = self.name_of(key)
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.error(name, f"is {_shown(value)}; it must be a list of strings")
        if len(value) != length:
            raise self.error(name, f"has {len(value)} entries; the model has {length} layers")
        return value

    def indices(self, key: str, length: int) -> frozenset[int]:
        """Numbers of layers, out of `length`; none where the key is missing or null."""
        value = self.values.get(key)
        if value is None:
            return frozenset()
        if not isinstance(value, list) or not all(isinstance(i, int) and not isinstance(i, bool) for i in value):
            raise self.error(key, f"is {_shown(value)}; it must be a list of numbers of layers")
        return frozenset(i for i in value if 0 <= i < length)


Rule = Callable[[Keys], bool]
"""What a configuration says yes or no to."""


def stated(key: str, default: bool = False) -> Rule:
    """As the key says; the default, which is transformers' own, where it doesn't."""
    return lambda keys: keys.flag(key, default)


def always(keys: Keys) -> bool:  # noqa: ARG001
    """Whatever the configuration says."""
    return True


def never(keys: Keys) -> bool:  # noqa: ARG001
    """Whatever the configuration says."""
    return False


def _shown(value: object) -> str:
    """A value of JSON in a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
