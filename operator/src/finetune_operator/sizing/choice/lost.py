"""The plans that were not chosen and are worth knowing, each with why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from finetune_operator.duration import duration
from finetune_operator.sizing.choice import rank
from finetune_operator.sizing.choice.option import GIB, Fault, Lost, Option
from finetune_operator.sizing.choice.shown import gib, usd
from finetune_operator.sizing.cluster.offer import Availability

_MOST = 3
_VIABLE_FIRST = 2
"""Of the three; the third place is for what would be cheaper and is too small, if there is such a thing."""

Place = tuple[str, int, int]


def lost(best: Option, options: Sequence[Option], *, priced: bool) -> tuple[Lost, ...]:
    """At most three options that differ from `best` in what they take: other kinds before other numbers of them."""
    rivals = _best_of_each_place(options, priced=priced)
    rivals.pop(_place(best), None)
    could = sorted(
        (option for option in rivals.values() if option.fault is None), key=lambda option: _wish(option, priced)
    )
    over = [option for option in rivals.values() if option.fault not in (None, Fault.TOO_LARGE)]
    over.sort(key=lambda option: _wish(option, priced))
    misses = [option for option in rivals.values() if option.fault == Fault.TOO_LARGE]
    misses.sort(key=rank.excess)
    lesser = [option for option in misses if _hourly(option) < _hourly(best)]
    chosen = _by_kind_first(could + over, best)[:_VIABLE_FIRST]
    chosen += lesser[:1]
    chosen += [option for option in _by_kind_first(could + over, best) + misses if option not in chosen]
    return tuple(Lost(option, why(option, best, priced=priced)) for option in chosen[:_MOST])


def why(option: Option, best: Option, *, priced: bool) -> str:
    """What speaks against `option`, with the numbers."""
    asked = _against_limits(option)
    if asked is not None:
        return asked
    if option.availability >= Availability.TAKEN > best.availability:
        return f"taken: {option.offer.why_not(option.count, option.nodes)}"
    if option.setup.optimizer != best.setup.optimizer and _cheaper(option, best, priced):
        cost = "is cheaper" if option.cost_usd is None else f"costs {usd(option.cost_usd)}"
        return f"{cost}, but needs the optimizer {option.setup.optimizer}"
    return _money(option, best, priced)


def _against_limits(option: Option) -> str | None:
    needs, has = option.prediction.required, option.available_bytes
    match option.fault:
        case Fault.TOO_LARGE if has is not None:
            return f"{gib(needs - has)} too little: needs {needs / GIB:.1f} of {gib(has)}"
        case Fault.TOO_DEAR if option.cost_usd is not None:
            return f"costs {usd(option.cost_usd)}, over resources.maxCostUSD"
        case Fault.TOO_SLOW if option.seconds is not None:
            return f"takes {duration(option.seconds)}, over resources.maxDurationSeconds"
        case Fault.NO_HOST:
            return option.offer.why_not(option.count, option.nodes)
        case Fault.COST_UNKNOWN:
            return "its cost is not known, and resources.maxCostUSD is set"
        case Fault.TIME_UNKNOWN:
            return "its time is not known, and resources.maxDurationSeconds is set"
        case _:
            return None


def _money(option: Option, best: Option, priced: bool) -> str:
    if not priced:
        alike = rank.modesty(option) == rank.modesty(best)
        return _slower(option, best) if alike else f"takes {_size(option)}, and {_size(best)} will do"
    if option.relative_cost is None or best.relative_cost is None:
        return "its price is not known"
    if _cheaper(option, best, priced):
        # within a tie, or it would have been chosen
        cost = "" if option.cost_usd is None else f" ({usd(option.cost_usd)})"
        return f"costs about the same{cost}, and {_tied(option, best)}"
    if option.cost_usd is None or best.cost_usd is None:
        more = f"about {option.relative_cost / (best.relative_cost or 1.0):.1f} times as much"
        return "costs a little more" if more == "about 1.0 times as much" else f"costs {more}"
    one, other = usd(option.cost_usd), usd(best.cost_usd)
    return "costs a little more" if one == other else f"costs {one} instead of {other}"


def _tied(option: Option, best: Option) -> str:
    """What decided where the cost did not, in the order of `rank.best`."""
    if rank.modesty(option) > rank.modesty(best):
        return f"takes {_size(option)} instead of {_size(best)}"
    if option.availability > best.availability:
        return option.offer.why_not(option.count, option.nodes)
    return _slower(option, best)


def _slower(option: Option, best: Option) -> str:
    if (option.relative_seconds or 0.0) <= (best.relative_seconds or 0.0):
        return "is no better"
    if option.seconds is None or best.seconds is None:
        return "is slower"
    return f"takes {duration(option.seconds)} instead of {duration(best.seconds)}"


def _cheaper(option: Option, best: Option, priced: bool) -> bool:
    if not priced or option.relative_cost is None or best.relative_cost is None:
        return False
    return option.relative_cost <= best.relative_cost


def _size(option: Option) -> str:
    memory = option.available_bytes
    return option.places if memory is None else f"{option.places} of {gib(memory)}"


def _best_of_each_place(options: Iterable[Option], *, priced: bool) -> dict[Place, Option]:
    found: dict[Place, Option] = {}
    for option in options:
        at = _place(option)
        if at not in found or _order(option, priced) < _order(found[at], priced):
            found[at] = option
    return found


def _order(option: Option, priced: bool) -> tuple[object, ...]:
    if option.fault == Fault.TOO_LARGE:
        return (2, rank.excess(option))
    return (int(option.fault is not None), rank.kind(option, priced=priced), rank.order(option, priced))


def _wish(option: Option, priced: bool) -> tuple[object, ...]:
    """As `rank` has it, but for waiting: what would be better if it were free is the first to be told."""
    paged, unpriced, _ = rank.kind(option, priced=priced)
    return (paged, unpriced, rank.order(option, priced))


def _by_kind_first(options: Sequence[Option], best: Option) -> list[Option]:
    """The first of each other kind, then the rest."""
    seen = {best.hardware.name}
    first: list[Option] = []
    rest: list[Option] = []
    for option in options:
        (rest if option.hardware.name in seen else first).append(option)
        seen.add(option.hardware.name)
    return first + rest


def _hourly(option: Option) -> float:
    """Size of what is taken, whatever the time: its price in an hour, else its memory."""
    price = option.hardware.price
    each = price.on_demand if price is not None and price.on_demand is not None else option.hardware.memory_gib
    return option.accelerators * (each or 0.0)


def _place(option: Option) -> Place:
    return option.hardware.name, option.count, option.nodes
