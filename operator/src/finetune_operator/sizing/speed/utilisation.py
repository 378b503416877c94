"""How much of its peak an accelerator reaches: utilisation.yaml."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

from finetune_api.schema import Schema
from finetune_operator.sizing.hardware import Hardware


class Utilisation(Schema):
    """Shares of the peaks in the hardware table."""

    matmul: float
    """Of the arithmetic, in large matrix products."""
    attention: float
    """Of the arithmetic, in fused attention."""
    memory: float
    """Of the memory's bandwidth, in element-wise operations."""


class _File(Schema):
    default: Utilisation
    kinds: dict[str, Utilisation]


def utilisation(hardware: Hardware) -> Utilisation:
    """The shares of one kind, or of the kind that its name begins with (A100-80GB for its slices); else `default`."""
    return _of(hardware.name)


@cache
def _of(name: str) -> Utilisation:
    table = _table()
    kinds = [kind for kind in table.kinds if f"{name}-".startswith(f"{kind}-")]
    return table.kinds[max(kinds, key=len)] if kinds else table.default


def known() -> frozenset[str]:
    """Names of the kinds that have shares of their own."""
    return frozenset(_table().kinds)


@cache
def _table() -> _File:
    text = files(__package__).joinpath("utilisation.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    return _File.model_validate(yaml.load(text, Loader=loader))
