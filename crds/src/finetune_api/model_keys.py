"""A model's config.json without what its size does not depend on, short enough for a termination message.

What is left can be read as a config.json: a list that names a kind for every layer is written as the kinds and one
character per layer, and comes back as it was.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping
from typing import Any

LIMIT = 2000
"""Characters. A termination message has 4,096 bytes, which the numbers of the data and a sentence have to share."""
_IDLE = re.compile(
    r"_.*|.*(_token_id|_token_ids|_token_index|_eps|_epsilon|dropout|pdrop|initializer.*|_init|_init_std|_coef)"
    r"|rope_.*|auto_map|id2label|label2id|transformers_version|use_cache|pretraining_tp|task_specific_params"
    r"|attn_implementation|chunk_size_feed_forward|gradient_checkpointing|output_(attentions|hidden_states|router_logits)"
    r"|return_dict.*"
)
"""Keys that no shape depends on."""
_SHORT_WORD = 64
_LONGEST_LIST = 512
_KINDS, _LAYERS = "$kinds", "$layers"
_MARKS = string.digits + string.ascii_lowercase


def shortened(config: Mapping[str, Any]) -> str:
    """JSON of at most LIMIT characters. If it is too long the longest values go first, those that are no number."""
    kept = _kept(config)
    while len(text := _text(kept)) > LIMIT:
        del kept[max(kept, key=lambda key: (not _is_number(kept[key]), len(_text(kept[key])), key))]
    return text


def restored(text: str) -> dict[str, Any] | None:
    """What `shortened` left of a config.json; None for a text that is no JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return {key: _unpacked(value) for key, value in found.items()} if isinstance(found, dict) else None


def _kept(config: Mapping[str, Any], *, nested: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        if _IDLE.fullmatch(key):
            continue
        match value:
            case None | bool() | int() | float():
                found[key] = value
            case str() if len(value) <= _SHORT_WORD:
                found[key] = value
            case list() if len(value) <= _LONGEST_LIST and all(isinstance(each, str | int) for each in value):
                found[key] = _packed(value)
            case Mapping() if not nested:
                found[key] = _kept(value, nested=True)
    return found


def _packed(values: list[Any]) -> Any:
    kinds = list(dict.fromkeys(values))
    if len(kinds) * 2 > len(values) or len(kinds) > len(_MARKS) or not all(isinstance(each, str) for each in values):
        return values
    return {_KINDS: kinds, _LAYERS: "".join(_MARKS[kinds.index(each)] for each in values)}


def _unpacked(value: Any) -> Any:
    match value:
        case {"$kinds": list(kinds), "$layers": str(layers)}:
            places = [_MARKS.find(mark) for mark in layers]
            return [kinds[place] for place in places] if all(0 <= place < len(kinds) for place in places) else None
        case dict():
            return {key: _unpacked(each) for key, each in value.items()}
        case _:
            return value


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
