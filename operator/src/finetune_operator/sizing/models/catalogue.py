"""Shapes of well-known public models, for an operator that reaches no Hub. `models.generate` writes catalogue.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.models.config_json import from_config

SCHEME = "hf://"
# Organisations that publish other people's models under the same names.
_MIRRORS = frozenset({"alpindale", "mistral-community", "nousresearch", "unsloth"})
# How a name ends that means the same model stored otherwise, and what quantises it then.
_STORED: tuple[tuple[re.Pattern[str], str | None], ...] = (
    (re.compile(r"(-unsloth)?-bnb-[48]bit$"), "bitsandbytes"),
    (re.compile(r"-awq$"), "awq"),
    (re.compile(r"-gptq(-int[48])?$"), "gptq"),
    (re.compile(r"-fp8(-dynamic|-block)?$"), "fp8"),
    (re.compile(r"-(bf16|fp16)$"), None),
)


def lookup(source: str) -> Architecture | None:
    """The shape of hf://ORGANISATION/NAME, whatever its case; None: the catalogue has no such model.

    Known too, by rule: the same names at well-known mirrors (unsloth/...), and names that end as those of quantised
    copies do (-bnb-4bit, -AWQ, -GPTQ-Int4, -FP8) or of unquantised ones (-BF16); `stored_quantization` says which.
    """
    if not source.casefold().startswith(SCHEME):
        return None
    name = source.casefold().removeprefix(SCHEME).strip("/")
    if (config := _find(name)) is not None:
        return from_config(config)
    for ending, stored in _STORED:
        original, found = ending.subn("", name)
        if found and (config := _find(original)) is not None:
            return replace(from_config(config), stored_quantization=stored)
    return None


def _find(name: str) -> Mapping[str, Any] | None:
    named = _named()
    organisation, _, last = name.rpartition("/")
    return named.get(name) or (_by_last_part().get(last) if organisation in _MIRRORS else None)


@cache
def _named() -> Mapping[str, Mapping[str, Any]]:
    """Every model's configuration, by its id in small letters."""
    shapes = json.loads(files(__package__).joinpath("catalogue.json").read_text(encoding="utf-8"))
    return {name.casefold(): shape["config"] for shape in shapes for name in shape["ids"]}


@cache
def _by_last_part() -> Mapping[str, Mapping[str, Any]]:
    """The same, without the organisation: what mirrors keep of an id."""
    return {name.rpartition("/")[2]: config for name, config in _named().items()}
