"""Numbers as messages show them."""

from __future__ import annotations

from finetune_operator.sizing.choice.option import GIB


def gib(size: float) -> str:
    """Bytes."""
    return f"{size / GIB:.1f} GiB"


def usd(amount: float) -> str:
    """Money: cents where they count."""
    return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"


def duration(seconds: float) -> str:
    """Two units at most: 3d4h, 2h5m, 12m30s, 45s."""
    left, parts = round(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, size)
        parts.append((number, unit))
    first = next((i for i, (number, _) in enumerate(parts) if number), len(parts) - 1)
    return "".join(f"{number}{unit}" for number, unit in parts[first : first + 2] if number) or "0s"


def parameters(number: int) -> str:
    """Of a model, as its name would have it: 8.0B, 135M."""
    return f"{number / 1e9:.1f}B" if number >= 0.95e9 else f"{number / 1e6:.3g}M"
