"""Money for time."""

from __future__ import annotations

from finetune_operator.sizing.hardware import Hardware

HOURS_BETWEEN_INTERRUPTIONS = 10.0
"""Of a spot accelerator, on average: an assumption; it differs by kind, region and hour, and clouds publish no rate."""
LOST_PER_INTERRUPTION = 0.25
"""Hours: half a checkpoint interval is done again, and a pod starts and loads anew."""


def cost_usd(
    seconds: float, hardware: Hardware, *, accelerators: int, spot: bool = False, price: float | None = None
) -> float | None:
    """US dollars of `seconds` on `accelerators` (all nodes' together); None: no price is known, or none is paid for.

    `price`: of one for an hour, instead of the table's. On spot ones the time is longer by what interruptions lose.
    """
    hourly = price_usd_per_hour(hardware, spot=spot, price=price)
    if hourly is None or accelerators == 0:
        return None
    return hourly * accelerators * (spot_seconds(seconds) if spot else seconds) / 3600


def price_usd_per_hour(hardware: Hardware, *, spot: bool = False, price: float | None = None) -> float | None:
    """Of one accelerator: `price`, else the table's. A spot price that isn't known is not guessed."""
    if price is not None or hardware.price is None:
        return price
    return hardware.price.spot if spot else hardware.price.on_demand


def spot_seconds(seconds: float) -> float:
    """Expected time on accelerators that may be taken away, waiting for others not included."""
    return seconds * (1 + LOST_PER_INTERRUPTION / HOURS_BETWEEN_INTERRUPTIONS)
