"""The difference of two documents as a JSON merge patch (RFC 7386)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest merge patch that makes `new` of `old`; empty when they are equal. None counts as absent."""
    patch: dict[str, Any] = {}
    for key in old.keys() | new.keys():
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            if below := difference(before, after):
                patch[key] = below
        elif isinstance(after, Mapping):
            patch[key] = _without_none(after)
        else:
            patch[key] = after
    return patch


def _without_none(value: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _without_none(v) if isinstance(v, Mapping) else v for k, v in value.items() if v is not None}
