"""The choice: on what a job runs and how it is split, the cheapest plan that fits and keeps to the limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from finetune_operator.sizing.choice import rank
from finetune_operator.sizing.choice.arithmetic import MODELS, Arithmetic
from finetune_operator.sizing.choice.contradictions import check
from finetune_operator.sizing.choice.eligible import eligible
from finetune_operator.sizing.choice.instead import Suggestions
from finetune_operator.sizing.choice.lost import lost
from finetune_operator.sizing.choice.option import Choice, Option
from finetune_operator.sizing.choice.refusal import Refusal
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.choice.search import Search
from finetune_operator.sizing.choice.shown import gib, price_name, usd
from finetune_operator.sizing.cluster.offer import Availability
from finetune_operator.sizing.cluster.offers import Available
from finetune_operator.sizing.hardware import Table


def choose(request: Request, there: Available, table: Table, arithmetic: Arithmetic = MODELS) -> Choice:
    """The best plan for `request` on what is `there`; `rank.best` says which it is.

    Several nodes are looked at only where one cannot do it. What the user settled is kept.

    Raises:
        SizingError: no plan will do; the text gives the numbers, and what would fit.
    """
    check(request)
    lot = eligible(request, there, table)
    search = Search(request, arithmetic)
    options: list[Option] = []
    for nodes in _nodes(request):
        options += search.options(lot.offers, nodes=nodes)
        viable = [option for option in options if option.fault is None]
        if viable:
            priced = rank.by_price(viable)
            best = rank.best(viable, priced=priced)
            notes = (*lot.notes, *_notes(request, best, viable, priced=priced))
            return Choice(best, lost(best, options, priced=priced), notes)
    suggestions = Suggestions(request, lot.offers, there, table, arithmetic)
    raise Refusal(suggestions, lot.objections).error(options)


def _nodes(request: Request) -> Sequence[int]:
    asked = request.resources.nodes
    return range(1, request.max_nodes + 1) if asked is None else [asked]


def _notes(request: Request, best: Option, viable: Sequence[Option], *, priced: bool) -> Iterator[str]:
    if best.offer.planned:
        pass
    elif best.availability == Availability.TAKEN:
        yield f"nothing that fits is free now; it waits for {best.waits_for}"
    elif best.availability == Availability.APPEARS:
        yield f"no node has {best.places} free now; one is to be added"
    if best.count and best.available_bytes is None:
        yield (
            f"the memory of {best.hardware.name} is not known, so nothing tells whether it fits "
            f"({gib(best.prediction.required)} per accelerator); label its nodes {best.hardware.label}, as GPU feature "
            "discovery does, or add a row to the chart's value hardware"
        )
    if len({option.hardware.name for option in viable}) > 1:
        if not any(option.relative_cost is not None for option in viable):
            yield "compared by memory and not by cost: no prices are known"
        elif not priced:
            without = dict.fromkeys(option.hardware.name for option in viable if option.relative_cost is None)
            missing = f"no {price_name(request.resources)} is known of {', '.join(without)}"
            yield f"compared by memory and not by cost: {missing}"
        elif best.estimate is None:
            yield "compared by price and speed on data of an assumed size: the number of training tokens is not known"
    if request.training.optimizer is None and best.setup.optimizer != "adamw":
        yield _instead_of_adamw(best, viable, priced=priced)
    if request.architecture.recurrent and request.training.packing is None and request.objective == "sft":
        yield "examples are not packed: the model's layers would carry a state from one to the next"
    asked = request.training.micro_batch_size
    if asked is not None and asked != best.setup.micro_batch_size:
        why = "packs go one by one without a flash kernel" if request.one_by_one else "it must divide each one's share"
        yield f"training.microBatchSize {asked} is taken as {best.setup.micro_batch_size}: {why}"


def _instead_of_adamw(best: Option, viable: Sequence[Option], *, priced: bool) -> str:
    name = best.setup.optimizer
    others = [
        option for option in viable if option.setup.optimizer == "adamw" and option.availability < Availability.TAKEN
    ]
    if not others:
        return f"the optimizer is {name}: nothing that is free is large enough for adamw"
    plain = rank.best(others, priced=priced)
    if priced and best.cost_usd is not None and plain.cost_usd is not None:
        return (
            f"the optimizer is {name}: with adamw it would cost {usd(plain.cost_usd)} instead of {usd(best.cost_usd)}"
        )
    return f"the optimizer is {name}: adamw would take {plain.places}"
