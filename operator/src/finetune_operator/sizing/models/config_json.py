"""The shape of a model from the config.json that comes with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.models.attention import Frame
from finetune_operator.sizing.models.families import FAMILIES
from finetune_operator.sizing.models.family import Family
from finetune_operator.sizing.models.keys import Keys, ModelError
from finetune_operator.sizing.models.refusal import refuse_other_than_causal

FILE = "config.json"
_LONGEST = 16 * 2**20
"""Bytes. The longest have a few kilobytes; what is longer is a file of weights."""
_GIVE = "give the model's shape in spec.model.architecture"


def read(path: Path) -> Architecture:
    """From a model's directory, or its config.json itself.

    Raises ModelError, naming the file, where there is none, it isn't a JSON object or far too long, or `from_config`
    would.
    """
    file = path / FILE if path.is_dir() else path
    try:
        if (size := file.stat().st_size) > _LONGEST:
            what = f"has {size / 2**20:,.0f} MiB, which no {FILE} has"
            raise ModelError(f"{file}: {what}; name a model's directory or its {FILE}")
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = f"{path} has no {FILE}" if file != path else f"{path}: there is no such file"
        raise ModelError(f"{what}; name a model's directory or its {FILE}") from error
    except json.JSONDecodeError as error:
        raise ModelError(f"{file}: line {error.lineno} is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ModelError(f"{file}: is nested too deep for a configuration") from error
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"{file}: can't be read: {error}") from error
    return from_config(config, where=str(file))


def from_config(config: Mapping[str, Any], *, where: str = FILE) -> Architecture:
    """From what a config.json holds. Raises ModelError, naming the key, for whatever has no shape or isn't trained."""
    if not isinstance(config, Mapping):
        raise ModelError(f"{where}: holds {type(config).__name__}; it must be a JSON object")
    refuse_other_than_causal(config, where)
    keys = Keys(config, where)
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise keys.error("model_type", f"is missing; it names the family of models, so without it {_GIVE}")
    family = FAMILIES.get(model_type)
    if family is None:
        raise keys.error("model_type", f"is {model_type!r}, a family whose shape isn't known here; {_GIVE}")
    return _built(model_type, family, keys)


def _built(model_type: str, family: Family, keys: Keys) -> Architecture:
    it = _frame(family, keys)
    vocabulary = keys.count("vocab_size")
    _refuse_unusual(keys, it)
    attention, feed_forward = family.attention(keys, it), family.feed_forward(keys, it)
    linears = (*attention.linears, *feed_forward.linears)
    norms = family.norms(keys)
    query_key_norm = family.query_key_norm(keys)
    window, sliding = family.window(keys, it.layers)
    others = (
        attention.others
        + feed_forward.others
        + sum(linear.outputs * linear.layers * linear.copies for linear in linears if linear.bias)
        + (norms * it.layers + family.outer_norms) * it.hidden * family.norm_weights
    )
    if query_key_norm:
        others += it.layers * _query_key_weights(family, it)
    if family.positions is not None:
        others += (keys.count("max_position_embeddings") + family.positions) * it.hidden
    if family.head_bias(keys):
        others += vocabulary
    return Architecture(
        model_type=model_type,
        hidden_size=it.hidden,
        layers=it.layers,
        vocabulary_size=vocabulary,
        attention_heads=it.heads,
        key_value_heads=it.key_value_heads,
        head_dim=it.head_dim,
        intermediate_size=feed_forward.width,
        linears=linears,
        tied_embeddings=_tied(family, keys),
        other_parameters=others,
        gated=feed_forward.gated,
        norms_per_layer=norms,
        parallel=family.parallel(keys),
        query_key_norm=query_key_norm,
        logit_softcap=_softcap(family, keys),
        sliding_window=window,
        sliding_layers=sliding,
        delta_rule=attention.delta_rule,
        recurrent=attention.recurrent,
        max_positions=keys.optional("max_position_embeddings"),
        stored_quantization=_quantization(keys),
    )


def _frame(family: Family, keys: Keys) -> Frame:
    hidden, layers = keys.count("hidden_size"), keys.count("num_hidden_layers")
    heads = keys.count("num_attention_heads")
    key_value_heads = family.key_value_heads(keys, heads)
    if heads % key_value_heads:
        name, of = keys.name_of("num_key_value_heads"), keys.name_of("num_attention_heads")
        raise keys.error(name, f"is {key_value_heads}, which doesn't divide the {heads} of {of}")
    return Frame(hidden, layers, heads, key_value_heads, family.head_dim(keys, hidden, heads))


# What hardly a model departs from: GPT-2 as a decoder of something else's states, OPT-350m, Galactica.
_USUAL: Mapping[str, bool] = {
    "add_cross_attention": False,
    "do_layer_norm_before": True,
    "layer_norm_elementwise_affine": True,
}


def _refuse_unusual(keys: Keys, it: Frame) -> None:
    """Shapes of single models, which no family's row describes."""
    for key, usual in _USUAL.items():
        if (value := keys.flag(key, usual)) is not usual:
            raise keys.error(key, f"is {str(value).lower()}, which makes a shape that isn't known here; {_GIVE}")
    # OPT-350m's tokens are embedded in half the width
    width = keys.count("word_embed_proj_dim", it.hidden)
    if width != it.hidden:
        raise keys.error("word_embed_proj_dim", f"is {width} and hidden_size {it.hidden}; {_GIVE}")


def _tied(family: Family, keys: Keys) -> bool:
    stated = keys.flag("tie_word_embeddings", family.tied)
    return keys.flag("tie_embedding", stated)  # as LFM2 has it


def _query_key_weights(family: Family, it: Frame) -> int:
    """Of one layer's norms of queries and keys."""
    if family.query_key_weights == "counted":
        return 0
    width = 2 * it.head_dim if family.query_key_weights == "head" else it.query + it.key_value
    return width * (2 if family.query_key_bias else 1)


def _softcap(family: Family, keys: Keys) -> bool:
    if "final_logit_softcapping" not in keys.values:
        return family.softcap
    value = keys.values["final_logit_softcapping"]
    if value is None:
        return False
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise keys.error("final_logit_softcapping", f"is {value!r}; it must be a number or null")
    return True


def _quantization(keys: Keys) -> str | None:
    stored = keys.mapping("quantization_config")
    if not stored.values:
        return None
    method = stored.values.get("quant_method")
    return method if isinstance(method, str) else "by a method that it doesn't name"
