"""Kubernetes quantities as numbers."""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{letter: Decimal(10) ** (3 * (i + 1)) for i, letter in enumerate("kMGTPE")},
    **{f"{letter}i": Decimal(2) ** (10 * (i + 1)) for i, letter in enumerate("KMGTPE")},
}
_FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)")


def amount(quantity: str | int) -> Decimal:
    """The number that a quantity such as 500m or 64Gi stands for: cores or bytes.

    Raises:
        ValueError: it is no quantity.
    """
    form = _FORM.fullmatch(str(quantity))
    if form is None or form[2] not in _SUFFIXES:
        raise ValueError(f"{quantity} is no quantity; write 500m, 8, 64Gi or the like")
    return Decimal(form[1]) * _SUFFIXES[form[2]]
