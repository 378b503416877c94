"""Why no plan will do, with the numbers, and what would: searched for, not guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from finetune_api.schema import Method
from finetune_api.spec.training import AdapterSpec
from finetune_operator.sizing.choice import rank
from finetune_operator.sizing.choice.arithmetic import Arithmetic
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.choice.option import Fault, Option
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.choice.search import Search
from finetune_operator.sizing.choice.shown import duration, gib, parameters, usd
from finetune_operator.sizing.cluster.offer import Offer
from finetune_operator.sizing.cluster.offers import Available, of_whole_table
from finetune_operator.sizing.hardware import Table

_CALLED = {"full": "full fine-tuning", "lora": "lora", "qlora": "qlora", "ia3": "ia3"}
_SMALLER_METHODS: dict[Method, tuple[Method, ...]] = {"full": ("qlora", "lora"), "lora": ("qlora",), "ia3": ("qlora",)}
_SHORTEST = 256
"""Tokens: nobody is told to train on less."""
_SUGGESTED = 4


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was tried, and with what."""

    request: Request
    offers: Sequence[Offer]
    """Those that could be used."""
    there: Available
    table: Table
    arithmetic: Arithmetic

    def error(self, options: Sequence[Option]) -> SizingError:
        """What to tell the user. `options`: every one that was looked at, none without a fault."""
        if not options:
            return SizingError(self._no_place())
        fitting = [option for option in options if option.fault != Fault.TOO_LARGE]
        return SizingError(self._over_limits(fitting) if fitting else self._too_large(options))

    def _no_place(self) -> str:
        asked = self.request.resources
        count, nodes = asked.count, asked.nodes or 1
        if count is None:
            why = "; ".join(dict.fromkeys(f"{offer.hardware.name}: {offer.why_not(1, nodes)}" for offer in self.offers))
            return f"no accelerator can ever be had: {why}"
        why = "; ".join(dict.fromkeys(f"{offer.hardware.name}: {offer.why_not(count, nodes)}" for offer in self.offers))
        each = f" on each of {nodes} nodes" if nodes > 1 else ""
        return f"spec.resources.count: {count} accelerators{each} can never be had: {why}"

    def _too_large(self, options: Sequence[Option]) -> str:
        nearest = min(options, key=rank.excess)
        largest = max((option.hardware for option in options), key=lambda row: row.memory_gib or 0.0)
        terms = sorted(nearest.prediction.terms.items(), key=lambda term: -term[1])
        shown = [f"{name} {size / 2**30:.1f}" for name, size in terms if size >= 0.05 * 2**30]
        shown.append(f"margin {(nearest.prediction.required - nearest.prediction.total) / 2**30:.1f}")
        where = f" on {_where(nearest)}" if nearest.accelerators > 1 else ""
        what = f"{_CALLED[self.request.method]} of {parameters(self.request.architecture.parameters)} parameters"
        device = f"{largest.name} ({largest.memory_gib:.1f} GiB)"
        needs = f"{gib(nearest.prediction.required)} per GPU{where}: {', '.join(shown)}"
        text = f"{what} needs {needs}; the largest here is {device}"
        pinned = self._pinned()
        return text + (f"; asked for: {', '.join(pinned)}" if pinned else "") + f". {self._suggestions()}"

    def _over_limits(self, options: Sequence[Option]) -> str:
        asked = self.request.resources
        unknown = [option for option in options if option.fault in (Fault.TIME_UNKNOWN, Fault.COST_UNKNOWN)]
        timed = [option for option in options if option.seconds is not None]
        if not timed:
            field = "maxDurationSeconds" if asked.max_duration_seconds is not None else "maxCostUSD"
            return (
                f"spec.resources.{field}: the number of training tokens is not known, so neither time nor cost is; "
                "remove it (activeDeadlineSeconds stops a run that takes too long)"
            )
        sentences = []
        fastest = min(timed, key=lambda option: option.seconds or 0.0)
        if asked.max_duration_seconds is not None and (fastest.seconds or 0.0) > asked.max_duration_seconds:
            sentences.append(
                f"spec.resources.maxDurationSeconds: the fastest plan takes {_takes(fastest)}, and "
                f"{asked.max_duration_seconds} ({duration(asked.max_duration_seconds)}) is allowed"
            )
        costed = [option for option in timed if option.cost_usd is not None]
        if asked.max_cost_usd is not None and not costed:
            kinds = ", ".join(dict.fromkeys(option.hardware.name for option in unknown)) or "these"
            sentences.append(
                f"spec.resources.maxCostUSD: no price of {kinds} is known, so no cost is; set resources.priceUSDPerHour"
            )
        elif asked.max_cost_usd is not None:
            cheapest = min(costed, key=lambda option: option.cost_usd or 0.0)
            if (cheapest.cost_usd or 0.0) > asked.max_cost_usd:
                sentences.append(
                    f"spec.resources.maxCostUSD: the cheapest plan costs {_takes(cheapest)}, and "
                    f"{usd(asked.max_cost_usd)} is allowed"
                )
            elif not sentences:
                soonest = min(costed, key=lambda option: option.seconds or 0.0)
                sentences.append(
                    f"spec.resources: no plan meets both limits: the cheapest costs {_takes(cheapest)}, the fastest "
                    f"{_takes(soonest)}; raise maxCostUSD or maxDurationSeconds"
                )
        return "; ".join(sentences) or "no plan meets the limits of spec.resources; raise them"

    def _pinned(self) -> list[str]:
        """What the user has settled that costs memory or keeps it from being shared."""
        training, resources = self.request.training, self.request.resources
        settled = {
            "accelerator": resources.accelerator,
            "count": resources.count,
            "microBatchSize": training.micro_batch_size,
            "gradientCheckpointing": None if training.gradient_checkpointing else training.gradient_checkpointing,
            "optimizer": training.optimizer,
            "sharding": training.sharding,
            "maxSequenceLength": training.max_sequence_length,
        }
        return [f"{name} {_plain(value)}" for name, value in settled.items() if value is not None]

    def _suggestions(self) -> str:
        found: list[str] = []
        for words, request, offers in self._instead():
            option = self._best(request, offers)
            if option is None:
                continue
            said = f"{words} on {_where(option)} ({gib(option.prediction.required)})"
            if said not in found:
                found.append(said)
            if len(found) == _SUGGESTED:
                break
        if found:
            return f"Fits: {', '.join(found)}"
        option = self._best(_opened(self.request), of_whole_table(self.table).offers)
        if option is None:
            return "Nothing in the hardware table fits it on one node"
        return f"Nothing here fits it; {_where(option)} would ({gib(option.prediction.required)})"

    def _instead(self) -> Iterator[tuple[str, Request, Sequence[Offer]]]:
        """Other requests, those nearest to this one first."""
        request, method = self.request, self.request.method
        training = request.training
        pinned: dict[str, object] = {
            "gradientCheckpointing": training.gradient_checkpointing is False,
            "microBatchSize": training.micro_batch_size is not None,
            "optimizer": training.optimizer is not None,
        }
        fields = {"gradientCheckpointing": "gradient_checkpointing", "microBatchSize": "micro_batch_size"}
        for name, set_ in pinned.items():
            if set_:
                freed = training.model_copy(update={fields.get(name, name): None})
                yield f"{method} without {name}", replace(request, training=freed), self.offers
        opened = _opened(request)
        if opened != request:
            yield method, _with_more(request), self.offers
            yield method, opened, self.offers
        for smaller in _SMALLER_METHODS.get(method, ()):
            adapter = AdapterSpec() if method == "full" else request.adapter
            other = replace(request, method=smaller, adapter=adapter)
            yield smaller, other, self.offers
            yield smaller, _opened(other), self.offers
        length = request.max_sequence_length // 2
        while length >= _SHORTEST:
            shorter = training.model_copy(update={"max_sequence_length": length})
            yield f"{method} with maxSequenceLength {length}", replace(request, training=shorter), self.offers
            length //= 2
        if request.resources.accelerator is not None:
            known = [offer for offer in self.there.offers if offer.hardware.memory_gib is not None]
            yield method, opened, known

    def _best(self, request: Request, offers: Sequence[Offer]) -> Option | None:
        unlimited = request.resources.model_copy(update={"max_cost_usd": None, "max_duration_seconds": None})
        search = Search(replace(request, resources=unlimited), self.arithmetic)
        nodes = request.resources.nodes or 1
        options = [
            option
            for option in search.options(offers, nodes=nodes)
            if option.fault is None and request.objection(option.hardware) is None
        ]
        return rank.best(options, priced=rank.by_price(options)) if options else None


def _with_more(request: Request) -> Request:
    """The same on as many accelerators as it takes."""
    resources = request.resources.model_copy(update={"count": None, "nodes": None})
    training = request.training.model_copy(update={"sharding": None})
    return replace(request, resources=resources, training=training)


def _opened(request: Request) -> Request:
    """The same with everything left open that the choice can settle, but the kind of accelerator's name."""
    training = {"micro_batch_size": None, "gradient_checkpointing": None, "optimizer": None}
    return replace(_with_more(request), training=_with_more(request).training.model_copy(update=training))


def _where(option: Option) -> str:
    how = f" ({option.setup.sharding})" if option.accelerators > 1 else ""
    return option.places + how


def _takes(option: Option) -> str:
    parts = [usd(option.cost_usd)] if option.cost_usd is not None else []
    parts += [duration(option.seconds)] if option.seconds is not None else []
    return f"{' and '.join(parts)} ({option.places})"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
