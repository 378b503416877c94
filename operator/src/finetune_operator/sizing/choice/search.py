"""Every way to run a job on what there is, each with its numbers: the space that a choice is made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from finetune_api.schema import Optimizer, Precision, Sharding
from finetune_operator.sizing import batch
from finetune_operator.sizing.choice.arithmetic import Arithmetic, Estimate, Prediction
from finetune_operator.sizing.choice.option import Fault, Option
from finetune_operator.sizing.choice.request import Request, shardable
from finetune_operator.sizing.cluster.offer import Availability, Offer
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.setup import Setup
from finetune_operator.sizing.speed import cost_usd

OPEN_OPTIMIZERS: tuple[Optimizer, ...] = ("adamw", "adamw8bit", "pagedAdamw8bit")
"""To try where the user names none, in this order: the later ones on accelerators where the earlier ones won't do."""
_ASSUMED_ROWS = 10_000
_ASSUMED_TOKENS = 512
"""Of each row. Where the data is not known, plans are compared on a set like this; a time is never shown for it."""


@dataclass(frozen=True, slots=True)
class Split:
    """How a run is divided, all but the micro-batch."""

    count: int
    nodes: int
    sharding: Sharding
    gradient_checkpointing: bool
    optimizer: Optimizer

    @property
    def workers(self) -> int:
        """Processes that share the work: one per accelerator, one on CPUs."""
        return max(1, self.count) * self.nodes


_MemoryKey = tuple[Precision, str, int, Sharding, bool, Optimizer, int]


@dataclass
class Search:
    """The options of one request. Predictions are kept: all kinds of one precision share them."""

    request: Request
    arithmetic: Arithmetic
    _predictions: dict[_MemoryKey, tuple[Setup, Prediction]] = field(default_factory=dict, init=False)

    def options(self, offers: Iterable[Offer], *, nodes: int) -> list[Option]:
        """One for each split on each offer that is worth a look: with the micro-batch that does it in the least time,
        or if none fits, with the smallest.
        """
        return [option for offer in offers for option in self._on(offer, nodes)]

    def judged(self, offer: Offer, split: Split, micro: int) -> Option:
        """One point of the space, with its numbers and what is wrong with it."""
        hardware, asked = offer.hardware, self.request.resources
        setup, prediction = self._predicted(hardware, split, micro)
        fits = self._fits(hardware, prediction)
        if asked.memory is None and offer.places:
            offer = offer.for_pods_of(self.arithmetic.host_memory(setup, split.nodes))
        on_cpu = hardware.resource is None
        availability = Availability.FREE if on_cpu else offer.availability(split.count, split.nodes)
        time = cost = None
        if fits:
            data = self.request.data if self.request.data_is_known else self._assumed
            time = self.arithmetic.estimate(self.request, setup, hardware, split.nodes, data)
        if time is not None:
            cost = cost_usd(
                time.seconds,
                hardware,
                accelerators=split.count * split.nodes,
                spot=bool(asked.spot),
                price=asked.price_usd_per_hour,
            )
        estimate = time if self.request.data_is_known else None
        over = Fault.NO_HOST if availability == Availability.NEVER else self._over(estimate, cost)
        return Option(
            offer=offer,
            count=split.count,
            nodes=split.nodes,
            micro_batch_size=self._told(micro),
            setup=setup,
            prediction=prediction,
            estimate=estimate,
            relative_seconds=None if time is None else time.seconds,
            relative_cost=cost,
            availability=availability,
            fault=over if fits else Fault.TOO_LARGE,
        )

    def _on(self, offer: Offer, nodes: int) -> Iterator[Option]:
        for count in self._counts(offer, nodes):
            for optimizer in self._optimizers(offer.hardware):
                viable = False
                for sharding in self._shardings(offer.hardware, max(1, count) * nodes, optimizer):
                    for checkpointing in self._checkpointing(offer.hardware):
                        split = Split(count, nodes, sharding, checkpointing, optimizer)
                        option, unconstrained = self._option(offer, split)
                        yield option
                        viable = viable or option.fault is None
                        if unconstrained:
                            break  # checkpointing would only cost time
                if viable:
                    break  # the optimizers that follow are for where this one won't do

    def _counts(self, offer: Offer, nodes: int) -> list[int]:
        """Accelerators per node that are worth trying: all that share a step's examples evenly."""
        asked, hardware = self.request.resources.count, offer.hardware
        if hardware.resource is None:
            return [0] if nodes == 1 else []
        if asked is not None:
            can = self.request.can_be_shared(asked * nodes) and offer.availability(asked, nodes) != Availability.NEVER
            return [asked] if can else []
        # what nothing connects, and what nothing is known of, is not combined unless asked for
        most = 1 if hardware.interconnect.kind == "none" or hardware.memory_gib is None else offer.largest
        effective = self.request.effective_batch_size
        return [
            count
            for count in range(1, most + 1)
            if effective % (count * nodes) == 0 and offer.availability(count, nodes) != Availability.NEVER
        ]

    def _shardings(self, hardware: Hardware, workers: int, optimizer: Optimizer) -> Sequence[Sharding]:
        asked = self.request.training.sharding
        if workers == 1:
            return ["none"] if asked in (None, "none") else []
        if asked is not None:
            return [asked] if asked != "none" else []
        if not shardable(optimizer):
            return ["ddp"]
        if hardware.memory_gib is None:
            return ["fsdp" if self.request.method == "full" else "ddp"]
        return ["ddp", "fsdp"]

    def _optimizers(self, hardware: Hardware) -> Sequence[Optimizer]:
        asked = self.request.training.optimizer
        if asked is not None:
            return [asked]
        # Weights that are trained in bfloat16 are no place to round: only adamw does it at random there, and the others
        # lose most small updates (finetune_trainer.optimizer).
        in_bf16 = self.request.method == "full" and self.request.precision(hardware) == "bf16"
        most = OPEN_OPTIMIZERS[:1] if in_bf16 else OPEN_OPTIMIZERS
        return [each for each in most if self.request.training.sharding != "fsdp" or shardable(each)]

    def _checkpointing(self, hardware: Hardware) -> Sequence[bool]:
        asked = self.request.training.gradient_checkpointing
        if asked is not None:
            return [asked]
        if hardware.memory_gib is None:
            return [hardware.device == "gpu"]
        return [False, True]

    def _micro_batches(self, workers: int) -> list[int]:
        """In ascending order."""
        asked, share = self.request.training.micro_batch_size, self.request.share(workers)
        if self.request.one_by_one or share == 0:
            return [1]
        if asked is not None:
            return [batch.largest_divisor(share, limit=asked)]
        return [size for size in range(1, share + 1) if share % size == 0]

    def _option(self, offer: Offer, split: Split) -> tuple[Option, bool]:
        """The best of a split, and whether with more memory it would be no other."""
        sizes = self._micro_batches(split.workers)
        if offer.hardware.memory_gib is None:
            # nothing tells what fits: as little as is sensible
            sizes = [size for size in sizes if size <= batch.LARGEST_UNASKED] or sizes[:1]
            return self.judged(offer, split, sizes[-1]), True
        number = self._how_many_fit(offer.hardware, split, sizes)
        if number == 0:
            return self.judged(offer, split, sizes[0]), False
        best = self._fastest(offer, split, sizes[:number])
        return best, number == len(sizes) or best.setup.micro_batch_size < sizes[number - 1]

    def _fastest(self, offer: Offer, split: Split, sizes: Sequence[int]) -> Option:
        """A larger micro-batch is faster, but where padding grows with it: from the largest down, until it is slower
        twice.
        """
        best = self.judged(offer, split, sizes[-1])
        slower = 0
        for size in reversed(sizes[:-1]):
            option = self.judged(offer, split, size)
            if (option.relative_seconds or 0.0) < (best.relative_seconds or 0.0):
                best, slower = option, 0
            else:
                slower += 1
            if slower == 2:
                break
        return best

    def _how_many_fit(self, hardware: Hardware, split: Split, sizes: Sequence[int]) -> int:
        """Memory grows with the micro-batch: by halves."""
        low, high = 0, len(sizes)
        while low < high:
            middle = (low + high) // 2
            if self._fits(hardware, self._predicted(hardware, split, sizes[middle])[1]):
                low = middle + 1
            else:
                high = middle
        return low

    def _fits(self, hardware: Hardware, prediction: Prediction) -> bool:
        return hardware.memory_gib is None or prediction.required <= hardware.memory_gib * 2**30

    def _predicted(self, hardware: Hardware, split: Split, micro: int) -> tuple[Setup, Prediction]:
        precision = self.request.precision(hardware)
        key = (
            precision,
            hardware.device,
            split.workers,
            split.sharding,
            split.gradient_checkpointing,
            split.optimizer,
            micro,
        )
        if key not in self._predictions:
            setup = self.request.setup(
                hardware,
                accelerators=split.workers,
                sharding=split.sharding,
                micro_batch_size=micro,
                gradient_checkpointing=split.gradient_checkpointing,
                optimizer=split.optimizer,
            )
            self._predictions[key] = (setup, self.arithmetic.predict(setup))
        return self._predictions[key]

    def _told(self, micro: int) -> int:
        asked = self.request.training.micro_batch_size
        return asked if asked is not None and self.request.one_by_one else micro

    def _over(self, estimate: Estimate | None, cost: float | None) -> Fault | None:
        """Which limit what fits does not keep to."""
        asked = self.request.resources
        if asked.max_duration_seconds is not None:
            if estimate is None:
                return Fault.TIME_UNKNOWN
            if estimate.seconds > asked.max_duration_seconds:
                return Fault.TOO_SLOW
        if asked.max_cost_usd is not None:
            if estimate is None or cost is None:
                return Fault.COST_UNKNOWN
            if cost > asked.max_cost_usd:
                return Fault.TOO_DEAR
        return None

    @cached_property
    def _assumed(self) -> DataFacts:
        tokens = min(_ASSUMED_TOKENS, self.request.sequence_length)
        return DataFacts(rows=_ASSUMED_ROWS, tokens=_ASSUMED_ROWS * tokens, longest_tokens=tokens, p99_tokens=tokens)
