"""Which of two options is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from finetune_api.schema import Optimizer
from finetune_operator.sizing.choice.option import Option
from finetune_operator.sizing.cluster.offer import Availability
from finetune_operator.sizing.hardware import Hardware

TIE = 1.1
"""Costs that differ by less than this factor count as the same: the speed of a run is not known to a tenth, and nobody
should be given eight accelerators instead of one for it, or an optimizer that rounds.
"""
# Those that keep the moments in 8 bits (Dettmers et al. 2022, arXiv:2110.02861: no loss of quality was measured, on
# their tasks), and those that may move them to host memory.
_PLAIN: Mapping[Optimizer, int] = {"adamw": 0, "adamw8bit": 1, "pagedAdamw": 2, "pagedAdamw8bit": 3}

Class = tuple[bool, bool, bool]


def by_price(options: Iterable[Option]) -> bool:
    """Whether money can decide: it is known of all that is there. Else the memory that they take does.

    What a node that is there costs is up to its owner, who may not have said. Of what would have to be bought first,
    that of which no price is known comes last.
    """
    options = list(options)
    there = [option for option in options if option.offer.places] or options
    priced = [option for option in there if option.relative_cost is not None]
    return bool(priced) and (len(priced) == len(there) or not any(option.offer.places for option in there))


def best(options: Sequence[Option], *, priced: bool) -> Option:
    """The one to take, of one or more that will do.

    First by `kind`, then the cheapest, where prices are known, else the one that takes the least memory in all. Among
    those that tie with it: those with the plain optimizer, with few accelerators, with small ones, on nodes that are
    there; then the one for which cost times time is least, so that a little money buys much speed, and never little.
    """
    first = min(kind(option, priced=priced) for option in options)
    alike = [option for option in options if kind(option, priced=priced) == first]
    limit = TIE * min(size(option, priced=priced) for option in alike)

    def key(option: Option) -> tuple[object, ...]:
        return (
            _PLAIN[option.setup.optimizer],
            *modesty(option),
            int(option.availability),
            size(option, priced=priced) * (option.relative_seconds or 1.0),
            *order(option, priced),
        )

    return min((option for option in alike if size(option, priced=priced) <= limit), key=key)


def kind(option: Option, *, priced: bool) -> Class:
    """What outweighs any cost, the smallest first: that nothing is paged (how long that takes is in no model, so it is
    for what does not fit otherwise); that its price is known, where prices decide; that it waits for nobody.
    """
    return (
        option.setup.optimizer.startswith("paged"),
        priced and option.relative_cost is None,
        option.availability >= Availability.TAKEN,
    )


def modesty(option: Option) -> tuple[int, int]:
    """How much it takes of what others may want, the least first: accelerators, and the size of each."""
    return option.accelerators, sold_as(option.hardware)


def sold_as(hardware: Hardware) -> int:
    """GB of memory that an accelerator is sold with, a multiple of 8: drivers report up to 3 GiB less. An L4 and an
    RTX 3090 are of one size by it, and so are an A100 and an H100 of 80 GB.
    """
    return 8 * math.ceil(((hardware.memory_gib or 0.0) - 0.5) / 8)


def size(option: Option, *, priced: bool) -> float:
    """What an option takes: US dollars, or GiB of accelerators."""
    taken = option.relative_cost if priced else option.accelerators * (option.hardware.memory_gib or 0.0)
    return taken or 0.0


def order(option: Option, priced: bool) -> tuple[float, float, int, float, str]:
    """From cheap to dear."""
    return (
        size(option, priced=priced),
        option.relative_seconds or 0.0,
        option.accelerators,
        option.hardware.memory_gib or 0.0,
        option.hardware.name,
    )


def excess(option: Option) -> float:
    """How far an option is from fitting: what it needs over what there is."""
    return option.prediction.required / (option.available_bytes or 1)
