"""One way to run a job: on what, how it is split, and what that takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from finetune_operator.sizing.choice.arithmetic import Estimate, Prediction
from finetune_operator.sizing.cluster.offer import Availability, Offer
from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.setup import Setup

GIB = 2**30


class Fault(Enum):
    """What is wrong with an option."""

    TOO_LARGE = auto()
    """It needs more memory than there is."""
    TOO_DEAR = auto()
    TOO_SLOW = auto()
    NO_HOST = auto()
    """No node with such accelerators has the host memory that its pod needs."""
    COST_UNKNOWN = auto()
    """There is a limit, and nobody can say whether it is kept."""
    TIME_UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Option:
    """A plan, with the numbers that it is judged by."""

    offer: Offer
    count: int
    """Accelerators per node; 0 on CPUs."""
    nodes: int
    micro_batch_size: int
    """What the trainer is to be told: it takes less where packs must go one by one, as `setup` has it."""
    setup: Setup
    prediction: Prediction
    estimate: Estimate | None
    """None: the number of tokens is not known, or it does not fit anyway."""
    relative_seconds: float | None
    """Time to compare with: the estimate's, or for a data set of some assumed size. None: no speed is known."""
    relative_cost: float | None
    """Its price. None: no price, or no time, is known."""
    availability: Availability
    fault: Fault | None

    @property
    def hardware(self) -> Hardware:
        """The kind of accelerator."""
        return self.offer.hardware

    @property
    def accelerators(self) -> int:
        """In all; 0 on CPUs."""
        return self.count * self.nodes

    @property
    def seconds(self) -> float | None:
        """Expected time of the whole run; None: not known."""
        return None if self.estimate is None else self.estimate.seconds

    @property
    def cost_usd(self) -> float | None:
        """Expected price of the whole run; None: not known."""
        return None if self.estimate is None else self.relative_cost

    @property
    def available_bytes(self) -> int | None:
        """Memory of one accelerator; None: it is not known, or host memory, which is not the table's to limit."""
        return None if self.hardware.memory_gib is None else round(self.hardware.memory_gib * GIB)

    @property
    def free_now(self) -> bool:
        """Whether what it takes is free on nodes that are there."""
        return self.availability == Availability.FREE

    @property
    def waits_for(self) -> str | None:
        """What it cannot start without; None: it can start, or the plan is on paper."""
        if self.free_now or self.offer.planned:
            return None
        return f"{self.places}: {self.offer.why_not(self.count, self.nodes)}"

    @property
    def places(self) -> str:
        """What it takes, as messages say it: 2x L4, or 8x H100-80GB on each of 2 nodes."""
        if self.count == 0:
            return "CPU"
        return f"{self.count}x {self.hardware.name}" + (f" on each of {self.nodes} nodes" if self.nodes > 1 else "")


@dataclass(frozen=True, slots=True)
class Lost:
    """An option that was not chosen."""

    option: Option
    why: str
    """In a sentence, with the numbers."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and what not."""

    best: Option
    alternatives: tuple[Lost, ...]
    """At most three, the best of them first."""
    notes: tuple[str, ...]
    """What there is to say about how it was chosen, in sentences."""
