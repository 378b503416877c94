"""Numbers as messages show them."""

from __future__ import annotations

from finetune_api.spec.resources import ResourcesSpec
from finetune_operator.sizing.choice.option import GIB


def gib(size: float) -> str:
    """Bytes."""
    return f"{size / GIB:.1f} GiB"


def usd(amount: float) -> str:
    """Money: cents where they count."""
    return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"


def price_name(asked: ResourcesSpec) -> str:
    """Which of the table's prices a job pays."""
    return "spot price" if asked.spot else "price"


def parameters(number: int) -> str:
    """Of a model, as its name would have it: 8.0B, 135M."""
    return f"{number / 1e9:.1f}B" if number >= 0.95e9 else f"{number / 1e6:.3g}M"
