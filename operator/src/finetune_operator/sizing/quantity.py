"""Kubernetes quantities as numbers."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

_SUFFIXES = {
    "": Decimal(1),
    **{letter: Decimal(10) ** (3 * (i - 3)) for i, letter in enumerate("num")},
    **{letter: Decimal(10) ** (3 * (i + 1)) for i, letter in enumerate("kMGTPE")},
    **{f"{letter}i": Decimal(2) ** (10 * (i + 1)) for i, letter in enumerate("KMGTPE")},
}
_FORM = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,3})|([a-zA-Z]*))")


@lru_cache(maxsize=4096)
def amount(quantity: str | int) -> Decimal:
    """The number that a quantity such as 500m or 64Gi stands for: cores, bytes, or pieces.

    Jobs are held to a simpler form by their schema; the API server also writes 129e6 and 100n into pods and nodes.

    Raises:
        ValueError: it is no quantity.
    """
    form = _FORM.fullmatch(str(quantity))
    if form is None or (form[3] or "") not in _SUFFIXES:
        raise ValueError(f"{quantity} is no quantity; write 500m, 8, 64Gi or the like")
    if form[2] is not None:
        return Decimal(form[1]).scaleb(int(form[2]))
    return Decimal(form[1]) * _SUFFIXES[form[3]]


def at_least(quantity: str | int, gib: int | None) -> str:
    """The quantity of bytes as it is written, or so many GiB (2^30 bytes) where these are more."""
    if gib is None or amount(quantity) >= gib * amount("1Gi"):
        return str(quantity)
    return f"{gib}Gi"
