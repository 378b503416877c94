"""A kind of accelerator, how much of it there is, and how much of that a job can have now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from finetune_operator.sizing.hardware import Hardware

UNBOUNDED = 1 << 20
"""Nodes, or accelerators: more than any job takes."""
GIB = 1 << 30
_NODES_NAMED = 3
"""In a sentence."""


class Availability(IntEnum):
    """When a job can have what it asks for, soonest first."""

    FREE = 0
    """Now, on nodes that are there."""
    APPEARS = 1
    """As soon as a node has been added, for which it waits for nobody."""
    TAKEN = 2
    """When others have given it back."""
    NEVER = 3
    """There is no place for it."""


@dataclass(frozen=True, slots=True)
class Place:
    """One node with accelerators of a kind."""

    node: str
    total: int
    """Accelerators that it has for pods."""
    free: int
    """Of these, not requested by a pod; 0 where the node is closed."""
    closed: str | None = None
    """Why the node takes nothing new: cordoned, not ready ..."""
    memory: int | None = None
    """Bytes of host memory that it has for pods; None: it doesn't tell."""
    memory_free: int | None = None
    """Of these, not requested by a pod."""

    def for_pods_of(self, memory: int) -> Place:
        """What pods that request so many bytes of host memory find of it."""
        if self.memory is None or self.memory_free is None or self.memory_free >= memory:
            return self
        left, asked = f"{self.memory_free / GIB:.1f} GiB", f"{memory / GIB:.1f} GiB"
        why = self.closed or f"full: {left} of memory is left, and {asked} is asked for"
        return replace(self, total=self.total if self.memory >= memory else 0, free=0, closed=why)

    def __str__(self) -> str:
        return f"{self.node} is {self.closed}" if self.closed else f"{self.node} has {self.free} of {self.total} free"


@dataclass(frozen=True, slots=True)
class Appears:
    """Nodes that are added when a pod needs one."""

    per_node: int
    """Accelerators of each."""
    nodes: int = UNBOUNDED
    """At most so many, those that are there not counted."""
    promised: bool = True
    """Whether it is known that they would be; False: it is only not known that they wouldn't."""
    awaited: int = 0
    """Accelerators of them that others wait for already."""

    def left(self, count: int) -> int:
        """Nodes with so many accelerators that nobody waits for, where those who do share nodes as well as they can."""
        full, part = divmod(self.awaited, self.per_node)
        return max(0, self.nodes - full - (part > self.per_node - count))


@dataclass(frozen=True, slots=True)
class Share:
    """What a Kueue queue can give of a kind, in accelerators, in one of its flavours."""

    queue: str
    """As messages call it."""
    ceiling: int
    """Of its own quota and what it may borrow when nobody else uses any."""
    free: int
    """The same now."""
    said: str = ""
    """How the figures come about: nominal quota 4, at most 4 borrowed ..."""
    problem: str | None = None
    """Why it gives nothing now, whatever the figures."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is of one kind of accelerator, under one share."""

    hardware: Hardware
    places: tuple[Place, ...] = ()
    """Nodes that the job's pods may run on."""
    appears: Appears | None = None
    share: Share | None = None
    """None: no queue holds the job."""
    planned: bool = False
    """It is for a plan on paper: no cluster was asked what it has."""
    host_memory: int = 0
    """Bytes that the pod requests on each node, as far as `places` leave out what that keeps from them."""

    def for_pods_of(self, memory: int) -> Offer:
        """What there is of it for pods that request so many bytes of host memory. Nodes to come are taken for large."""
        return replace(self, places=tuple(place.for_pods_of(memory) for place in self.places), host_memory=memory)

    @property
    def largest(self) -> int:
        """Most accelerators of one node, now or to come."""
        return max(
            [place.total for place in self.places] + ([self.appears.per_node] if self.appears else []), default=0
        )

    def availability(self, count: int, nodes: int = 1) -> Availability:
        """Of `count` accelerators on each of `nodes` nodes."""
        free = sum(place.free >= count for place in self.places)
        there = sum(place.total >= count for place in self.places)
        coming = self.appears if self.appears is not None and self.appears.per_node >= count else None
        to_come, left = (coming.nodes, coming.left(count)) if coming is not None else (0, 0)
        ceiling, unused = (self.share.ceiling, self.share.free) if self.share is not None else (UNBOUNDED, UNBOUNDED)
        wanted = count * nodes
        if there + to_come < nodes or ceiling < wanted:
            return Availability.NEVER
        if unused < wanted or free + left < nodes:
            return Availability.TAKEN
        if free >= nodes:
            return Availability.FREE
        return Availability.APPEARS if self.appears is not None and self.appears.promised else Availability.TAKEN

    def why_not(self, count: int, nodes: int = 1) -> str:
        """What stands in the way of having them now, in a clause."""
        wanted = count * nodes
        if self.share is not None and self.share.ceiling < wanted:
            return f"{self.share.queue} can never give more than {self.share.ceiling} ({self.share.said})"
        when = self.availability(count, nodes)
        if when == Availability.NEVER and (without := self._too_little_memory()):
            return f"its pod needs {self.host_memory / GIB:.0f} GiB of host memory, which {without} not have"
        if when == Availability.NEVER and self.largest:
            return f"no node has more than {self.largest}" if nodes == 1 else f"there are not {nodes} such nodes"
        if when == Availability.APPEARS:
            return "a node is to be added"
        if not self.places and (self.appears is None or not self.appears.promised):
            return "no node has one"
        if self.share is not None and self.share.problem is not None:
            return f"{self.share.queue}: {self.share.problem}"
        if self.share is not None and self.share.free < wanted:
            return f"{self.share.queue} has {self.share.free} of {self.share.ceiling} left ({self.share.said})"
        largest_first = sorted((each for each in self.places if each.total >= count), key=lambda place: -place.total)
        said = [str(place) for place in largest_first[:_NODES_NAMED]]
        if (more := len(largest_first) - _NODES_NAMED) > 0:
            said[-1] += f" and {more} more nodes"
        if self.appears is not None and self.appears.awaited:
            said.append("others wait for the nodes that are to be added")
        return ", ".join(said)

    def _too_little_memory(self) -> str | None:
        """The nodes that the host memory keeps the pod from, the largest by name; None: there are none."""
        told = [(place.memory, place.node) for place in self.places if place.memory is not None]
        small = [(memory, node) for memory, node in told if memory < self.host_memory]
        if not small:
            return None
        memory, node = max(small)
        more = f" and {len(small) - 1} smaller do" if len(small) > 1 else " does"
        return f"{node} ({memory / GIB:.1f} GiB){more}"


def of_table(hardware: Hardware) -> Offer:
    """As many as nodes that are commonly sold have: what there is where no cluster is asked."""
    return Offer(hardware, appears=Appears(per_node=hardware.per_node), planned=True)
