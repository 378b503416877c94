"""What would fit where something does not: other requests, searched as the first one was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from finetune_api.schema import Method
from finetune_api.spec.training import AdapterSpec
from finetune_operator.sizing.choice import rank
from finetune_operator.sizing.choice.arithmetic import Arithmetic
from finetune_operator.sizing.choice.eligible import usable_unasked
from finetune_operator.sizing.choice.option import Option
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.choice.search import Search
from finetune_operator.sizing.cluster.offer import Offer
from finetune_operator.sizing.cluster.offers import Available, of_whole_table
from finetune_operator.sizing.hardware import Table

# Settings that cost memory and can be left open again, by their names in the resource.
_FREED = {
    "microBatchSize": "micro_batch_size",
    "gradientCheckpointing": "gradient_checkpointing",
    "optimizer": "optimizer",
}
_SMALLER: dict[Method, tuple[Method, ...]] = {"full": ("qlora", "lora"), "lora": ("qlora",), "ia3": ("qlora",)}
_SHORTEST = 256
"""Tokens: nobody is told to train on less."""
_MOST = 4


@dataclass(frozen=True, slots=True)
class Instead:
    """One request that fits, in a few words, and its plan."""

    words: str
    option: Option


Attempt = tuple[str, Request, Iterable[Offer]]


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Where to look for what would fit."""

    request: Request
    offers: Sequence[Offer]
    there: Available
    table: Table
    arithmetic: Arithmetic

    def here(self) -> list[Instead]:
        """What fits on what there is, the nearest to what was asked for first; at most four."""
        found: list[Instead] = []
        for group in self._groups():
            for words, request, offers in group:
                option = self.best(request, offers)
                if option is not None:
                    found.append(Instead(words, option))
                    break
            if len(found) == _MOST:
                break
        return found

    def elsewhere(self) -> Option | None:
        """The best plan on whole accelerators of any kind that the table has and a job gets unasked."""
        return self.best(_opened(self.request), usable_unasked(of_whole_table(self.table).offers))

    def best(self, request: Request, offers: Iterable[Offer]) -> Option | None:
        """The plan for `request`, whatever it costs and however long it takes; None: nothing fits."""
        unlimited = request.resources.model_copy(update={"max_cost_usd": None, "max_duration_seconds": None})
        search = Search(replace(request, resources=unlimited), self.arithmetic)
        fine = [offer for offer in offers if request.objection(offer.hardware) is None]
        options = [
            option for option in search.options(fine, nodes=request.resources.nodes or 1) if option.fault is None
        ]
        return rank.best(options, priced=rank.by_price(options)) if options else None

    def _groups(self) -> Iterator[Iterable[Attempt]]:
        """Of each group the first that fits is worth telling."""
        request, method = self.request, self.request.method
        pinned = [name for name, field in _FREED.items() if getattr(request.training, field) not in (None, True)]
        opened = _opened(request)
        if request.resources.count is not None or request.resources.nodes is not None or len(pinned) != 1:
            freed = f"{method} without {' and '.join(pinned)}" if pinned else method
            yield [(method, _with_more(request), self.offers), (freed, opened, self.offers)]
        for name in pinned:
            training = request.training.model_copy(update={_FREED[name]: None})
            yield [(f"{method} without {name}", replace(request, training=training), self.offers)]
        yield (
            (f"{method} with effectiveBatchSize {examples}", _with_batch(opened, examples), self.offers)
            for examples in _shared_by_more(request.effective_batch_size)
        )
        for smaller in _SMALLER.get(method, ()):
            other = replace(request, method=smaller, adapter=AdapterSpec() if method == "full" else request.adapter)
            yield [(smaller, other, self.offers), (smaller, _opened(other), self.offers)]
        yield (
            (f"{method} with maxSequenceLength {length}", _shorter(request, length), self.offers)
            for length in _halves(request.max_sequence_length)
        )
        if request.resources.accelerator is not None:
            yield [(method, opened, usable_unasked(self.there.offers))]


def _with_more(request: Request) -> Request:
    """The same on as many accelerators as it takes."""
    resources = request.resources.model_copy(update={"count": None, "nodes": None})
    training = request.training.model_copy(update={"sharding": None})
    return replace(request, resources=resources, training=training)


def _opened(request: Request) -> Request:
    """The same with all settings open that cost memory."""
    more = _with_more(request)
    return replace(more, training=more.training.model_copy(update=dict.fromkeys(_FREED.values())))


def _shorter(request: Request, length: int) -> Request:
    return replace(request, training=request.training.model_copy(update={"max_sequence_length": length}))


def _with_batch(request: Request, examples: int) -> Request:
    return replace(request, training=request.training.model_copy(update={"effective_batch_size": examples}))


def _shared_by_more(examples: int) -> Iterator[int]:
    """The next numbers of examples that two, four and eight accelerators can share, where this one isn't."""
    return (-(-examples // accelerators) * accelerators for accelerators in (2, 4, 8) if examples % accelerators)


def _halves(length: int) -> Iterator[int]:
    while (length := length // 2) >= _SHORTEST:
        yield length
