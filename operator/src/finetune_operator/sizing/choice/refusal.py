"""Why no plan will do, with the numbers, and what would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from finetune_api.spec.resources import ResourcesSpec
from finetune_operator.duration import duration
from finetune_operator.sizing.choice import rank
from finetune_operator.sizing.choice.eligible import usable_unasked
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.choice.instead import Suggestions
from finetune_operator.sizing.choice.option import GIB, Fault, Option
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.choice.shown import gib, parameters, price_name, usd
from finetune_operator.sizing.cluster.offer import Offer

_CALLED = {"full": "full fine-tuning", "lora": "lora", "qlora": "qlora", "ia3": "ia3"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was asked for, and where it was tried."""

    suggestions: Suggestions
    objections: tuple[str, ...] = ()
    """Why other kinds could not be used."""

    @property
    def request(self) -> Request:
        """What was asked for."""
        return self.suggestions.request

    def error(self, options: Sequence[Option]) -> SizingError:
        """What to tell the user. `options`: every one that was looked at, none without a fault."""
        if not options:
            return SizingError(self._no_place())
        fitting = [option for option in options if option.fault != Fault.TOO_LARGE]
        hosted = [option for option in fitting if option.fault != Fault.NO_HOST]
        if hosted:
            return SizingError(self._over_limits(hosted))
        return SizingError(self._no_host(fitting) if fitting else self._too_large(options))

    def _no_place(self) -> str:
        asked, sharding = self.request.resources, self.request.training.sharding
        nodes = asked.nodes or 1
        if asked.count is not None:
            count, what = asked.count, f"spec.resources.count: {asked.count} accelerators"
        elif sharding in ("ddp", "fsdp"):
            effective = self.request.effective_batch_size
            count = next((number for number in range(2, effective + 1) if effective % number == 0), 2)
            what = f"spec.training.sharding: {sharding} is for several accelerators, and {count}"
        else:
            count, what = 1, "an accelerator"
        why = dict.fromkeys(
            f"{offer.hardware.name}: {offer.why_not(count, nodes)}" for offer in self.suggestions.offers
        )
        where = f" on each of {nodes} nodes" if nodes > 1 else ""
        return f"{what}{where} can never be had: {'; '.join([*why, *self.objections])}"

    def _too_large(self, options: Sequence[Option]) -> str:
        request = self.request
        nearest = min(options, key=rank.excess)
        needs = f"needs {gib(nearest.prediction.required)} per GPU"
        if nearest.accelerators > 1:
            needs += f" on {_where(nearest)}"
        if saved := _saving(request, nearest):
            needs += f", even with {' and '.join(saved)}"
        what = f"{_CALLED[request.method]} of {parameters(request.architecture.parameters)} parameters"
        parts = [f"{what} {needs}: {_terms(nearest)}", self._largest(options), *self.objections]
        if pinned := _pinned(request):
            parts.append(f"asked for: {', '.join(pinned)}")
        return f"{'; '.join(parts)}. {self._instead()}"

    def _no_host(self, options: Sequence[Option]) -> str:
        nearest = min(options, key=lambda option: option.offer.host_memory)
        what = f"{_CALLED[self.request.method]} of {parameters(self.request.architecture.parameters)} parameters"
        why = nearest.offer.why_not(nearest.count, nearest.nodes)
        return f"{what} fits on {_where(nearest)}, but {why}. {self._instead()}"

    def _largest(self, options: Sequence[Option]) -> str:
        row = max((option.hardware for option in options), key=lambda each: each.memory_gib or 0.0)
        if self.request.resources.accelerator is not None:
            return f"{row.name} has {row.memory_gib:.1f} GiB"
        return f"the largest here is {row.name} ({row.memory_gib:.1f} GiB)"

    def _instead(self) -> str:
        here = self.suggestions.here()
        if here:
            said = (f"{each.words} on {_where(each.option)} ({gib(each.option.prediction.required)})" for each in here)
            return f"Fits: {', '.join(dict.fromkeys(said))}"
        elsewhere = self.suggestions.elsewhere()
        if elsewhere is None:
            return "Nothing in the hardware table fits it on one node"
        # the cheapest plan spends memory on speed, so it may take more than was needed here
        needs, has = elsewhere.prediction.required, elsewhere.available_bytes
        takes = gib(needs) if has is None else f"{needs / GIB:.1f} of {gib(has)}"
        return f"Nothing here fits it; the cheapest that would is {_where(elsewhere)} ({takes})"

    def _over_limits(self, options: Sequence[Option]) -> str:
        asked = self.request.resources
        timed = [option for option in options if option.seconds is not None]
        if not timed:
            field = "maxDurationSeconds" if asked.max_duration_seconds is not None else "maxCostUSD"
            unknown = "the number of training tokens is not known"
            if self.request.data_is_known:
                kinds = ", ".join(dict.fromkeys(option.hardware.name for option in options))
                unknown = f"the speed of {kinds} is not known"
            return (
                f"spec.resources.{field}: {unknown}, so neither time nor cost is; remove it (activeDeadlineSeconds "
                "stops a run that takes too long)"
            )
        sentences = []
        fastest = min(timed, key=lambda option: option.seconds or 0.0)
        if asked.max_duration_seconds is not None and (fastest.seconds or 0.0) > asked.max_duration_seconds:
            sentences.append(
                f"spec.resources.maxDurationSeconds: the fastest plan takes {_takes(fastest)}, and "
                f"{duration(asked.max_duration_seconds)} is allowed"
            )
        costed = [option for option in timed if option.cost_usd is not None]
        if asked.max_cost_usd is None:
            return "; ".join(sentences)
        if not costed:
            kinds = ", ".join(dict.fromkeys(option.hardware.name for option in timed))
            unknown = f"no {price_name(asked)} of {kinds} is known, so no cost is; set resources.priceUSDPerHour"
            return "; ".join([*sentences, f"spec.resources.maxCostUSD: {unknown}"])
        cheapest = min(costed, key=lambda option: option.cost_usd or 0.0)
        if (cheapest.cost_usd or 0.0) > asked.max_cost_usd:
            sentences.append(
                f"spec.resources.maxCostUSD: the cheapest plan costs {_costs(cheapest)}, and "
                f"{usd(asked.max_cost_usd)} is allowed{self._otherwise(asked.max_cost_usd)}"
            )
        if not sentences:
            sentences.append(
                f"spec.resources: no plan meets both limits: the cheapest costs {_costs(cheapest)}, the fastest takes "
                f"{_takes(fastest)}; raise maxCostUSD or maxDurationSeconds"
            )
        return "; ".join(sentences)

    def _otherwise(self, limit: float) -> str:
        """What would bring the cost under the limit."""
        asked, suggestions = self.request.resources, self.suggestions
        ways: list[tuple[str, ResourcesSpec, Sequence[Offer]]] = []
        if asked.accelerator is not None:
            any_kind = asked.model_copy(update={"accelerator": None})
            ways.append(("without resources.accelerator", any_kind, usable_unasked(suggestions.there.offers)))
        if asked.spot is None and asked.price_usd_per_hour is None:
            ways.append(("with resources.spot: true", asked.model_copy(update={"spot": True}), suggestions.offers))
        for words, resources, offers in ways:
            other = replace(self.request, resources=resources)
            option = suggestions.best(other, offers)
            if option is not None and option.cost_usd is not None and option.cost_usd <= limit:
                return f"; {words} it would cost {_costs(option)}"
        return ""


def _pinned(request: Request) -> list[str]:
    """What the user has settled that costs memory, or keeps it from being shared."""
    training, resources = request.training, request.resources
    settled: dict[str, object] = {
        "accelerator": resources.accelerator,
        "count": resources.count,
        "sharding": training.sharding,
        "microBatchSize": training.micro_batch_size,
        # where it is on, it only saves
        "gradientCheckpointing": None if training.gradient_checkpointing else training.gradient_checkpointing,
        "optimizer": training.optimizer,
        "maxSequenceLength": training.max_sequence_length,
    }
    return [f"{name} {_plain(value)}" for name, value in settled.items() if value is not None]


def _saving(request: Request, option: Option) -> list[str]:
    """What the choice has done by itself to save memory."""
    found = []
    if request.training.gradient_checkpointing is None and option.setup.gradient_checkpointing:
        found.append("gradient checkpointing")
    if request.training.optimizer is None and option.setup.optimizer != "adamw":
        found.append(option.setup.optimizer)
    return found


def _terms(option: Option) -> str:
    prediction = option.prediction
    named = sorted(prediction.terms.items(), key=lambda term: -term[1])
    named.append(("margin", prediction.required - prediction.total))
    return ", ".join(f"{name} {size / GIB:.1f}" for name, size in named if size >= 0.05 * GIB)


def _where(option: Option) -> str:
    how = f" ({option.setup.sharding})" if option.accelerators > 1 else ""
    return option.places + how


def _takes(option: Option) -> str:
    cost = f", for {usd(option.cost_usd)}" if option.cost_usd is not None else ""
    return f"{duration(option.seconds or 0.0)}{cost} ({option.places})"


def _costs(option: Option) -> str:
    return f"{usd(option.cost_usd or 0.0)}, in {duration(option.seconds or 0.0)} ({option.places})"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
