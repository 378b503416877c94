"""Which layers look back only so far."""

from __future__ import annotations

from collections.abc import Callable

from finetune_operator.sizing.models.keys import Keys

Window = Callable[[Keys, int], tuple[int | None, int]]
"""From a configuration and its number of layers: tokens that a layer with a window looks back, and how many have one.
"""

_NONE = (None, 0)
_SLIDING = ("sliding_attention", "sliding")


def none(keys: Keys, layers: int) -> tuple[int | None, int]:  # noqa: ARG001
    """No layer has one, whatever the configuration says."""
    return _NONE


def everywhere(default: int | None = None) -> Window:
    """Every layer, where sliding_window is a number."""

    def rule(keys: Keys, layers: int) -> tuple[int | None, int]:
        return _window(keys, default, layers)

    return rule


def where_used(keys: Keys, layers: int) -> tuple[int | None, int]:
    """Every layer, where use_sliding_window says so (Qwen3 MoE)."""
    return _window(keys, None, layers) if keys.flag("use_sliding_window", False) else _NONE


def from_layer(keys: Keys, layers: int) -> tuple[int | None, int]:
    """Where use_sliding_window says so: layer_types, else all from max_window_layers on (Qwen2, Qwen3)."""
    if not keys.flag("use_sliding_window", False):
        return _NONE
    first = keys.count("max_window_layers", 28, zero=True)
    return _window(keys, 4096, _sliding(keys, layers, max(layers - first, 0)))


def until_layer(keys: Keys, layers: int) -> tuple[int | None, int]:
    """Where use_sliding_window says so: layer_types, else every other one before max_window_layers (Qwen2 MoE)."""
    if not keys.flag("use_sliding_window", False):
        return _NONE
    last = min(keys.count("max_window_layers", 28, zero=True), layers)
    return _window(keys, 4096, _sliding(keys, layers, (last + 1) // 2))


def all_but_every(every: int, default: int, *, key: str = "sliding_window_pattern") -> Window:
    """layer_types, else all layers but every so many (Gemma, Cohere, OLMo 3, gpt-oss)."""

    def rule(keys: Keys, layers: int) -> tuple[int | None, int]:
        # a pattern may be there in words where layer_types says it too (EXAONE 4: "LLLG")
        typed = keys.values.get("layer_types") is not None
        pattern = every if typed else keys.count(key, every)
        return _window(keys, default, _sliding(keys, layers, layers - layers // pattern))

    return rule


def by_type(keys: Keys, layers: int) -> tuple[int | None, int]:
    """layer_types, else every layer, where sliding_window is a number (Ministral)."""
    return _window(keys, 4096, _sliding(keys, layers, layers))


def without_positions(keys: Keys, layers: int) -> tuple[int | None, int]:
    """layer_types, else where use_sliding_window says so the layers without rotary positions (SmolLM3).

    Those are the zeros of no_rope_layers; without it, every so many.
    """
    flags = keys.values.get("no_rope_layers")
    if isinstance(flags, list) and len(flags) >= layers:
        bare = flags[:layers].count(0)
    else:
        bare = layers // keys.count("no_rope_layer_interval", 4)
    used = keys.flag("use_sliding_window", False)
    return _window(keys, None, _sliding(keys, layers, bare if used else 0))


def local(keys: Keys, layers: int) -> tuple[int | None, int]:
    """attention_types names kinds and how often to repeat them: [[["global", "local"], 12]] (GPT-Neo)."""
    found = 0
    for kinds, times in _runs(keys):
        found += kinds.count("local") * times
    return keys.count("window_size", 256), min(found, layers)


def _runs(keys: Keys) -> list[tuple[list[str], int]]:
    value = keys.values.get("attention_types")
    if value is None:
        return [(["global", "local"], 12)]
    match value:
        case list() if all(_is_run(run) for run in value):
            return [(run[0], run[1]) for run in value]
        case _:
            raise keys.error("attention_types", 'must look like [[["global", "local"], 12]]')


def _is_run(run: object) -> bool:
    match run:
        case [list() as kinds, int() as times]:
            return all(isinstance(kind, str) for kind in kinds) and not isinstance(times, bool) and times >= 0
        case _:
            return False


def _sliding(keys: Keys, layers: int, otherwise: int) -> int:
    types = keys.words("layer_types", layers)
    return otherwise if types is None else sum(word in _SLIDING for word in types)


def _window(keys: Keys, default: int | None, layers: int) -> tuple[int | None, int]:
    window = keys.optional("sliding_window", default)
    return _NONE if window is None or not layers else (window, layers)
