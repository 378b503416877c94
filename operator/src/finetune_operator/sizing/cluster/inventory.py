"""The accelerators of a cluster's nodes that a job's pods could use: how many there are, and how many are free."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from finetune_operator.sizing.cluster.demand import Demand, Object, closed, never
from finetune_operator.sizing.cluster.offer import Place
from finetune_operator.sizing.cluster.usage import Amounts, Usage
from finetune_operator.sizing.hardware import UNLABELLED_GPU, Hardware, Table, UnknownAccelerator
from finetune_operator.sizing.quantity import amount


@dataclass(frozen=True, slots=True)
class Excluded:
    """A node with accelerators that the job's pods can never run on."""

    node: str
    kind: str
    why: str

    def __str__(self) -> str:
        return f"{self.node} ({self.kind}): {self.why}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the nodes have for one job."""

    places: Mapping[str, tuple[Place, ...]]
    """Of each kind, by its name in the table."""
    unknown: tuple[UnknownAccelerator, ...]
    """Nodes whose accelerators have no row; each says how to add one."""
    excluded: tuple[Excluded, ...]

    @property
    def nodes(self) -> set[str]:
        """Names of those that it could use."""
        return {place.node for places in self.places.values() for place in places}


def inventory(nodes: Iterable[Object], used: Usage, wanted: Demand, table: Table) -> Inventory:
    """What of `nodes` a pod with these wants could use.

    A cordoned node and one that is not ready are there, but nothing of them is free. An accelerator that the table does
    not know counts as one of its vendor's unlabelled ones, of which no memory is known.
    """
    places: defaultdict[str, list[Place]] = defaultdict(list)
    unknown, excluded = [], []
    for node in nodes:
        name = str(node.get("metadata", {}).get("name", ""))
        for kind in table.kinds_of_node(node):
            if isinstance(kind, UnknownAccelerator):
                unknown.append(kind)
            row = _unlabelled(kind.resource, table) if isinstance(kind, UnknownAccelerator) else kind
            if row is None or row.resource is None:
                continue
            why = never(node, wanted, resource=row.resource) or _too_small(node, wanted)
            if why is not None:
                excluded.append(Excluded(name, row.name, why))
                continue
            places[row.name].append(place(node, row.resource, used.get(name, {}), wanted))
    return Inventory({name: tuple(found) for name, found in places.items()}, tuple(unknown), tuple(excluded))


def host_bytes(nodes: Iterable[Object], wanted: Demand) -> int | None:
    """Memory for pods of the largest node that a pod with these wants could ever run on; None: no node tells of it."""
    return max(
        (
            int(_allocatable(node, "memory"))
            for node in nodes
            if _says(node, "memory") and never(node, wanted, resource="cpu") is None
        ),
        default=None,
    )


def _unlabelled(resource: str, table: Table) -> Hardware | None:
    row = table.find(UNLABELLED_GPU)
    return row if row is not None and row.resource == resource else None


def place(node: Object, resource: str, used: Amounts, wanted: Demand) -> Place:
    """What a node has of a resource, and what of it a pod with these wants could have now."""
    name = str(node.get("metadata", {}).get("name", ""))
    total = int(_allocatable(node, resource))
    why = closed(node, wanted, resource=resource) or _crowded(node, used, wanted)
    free = 0 if why else max(0, total - int(used.get(resource, 0)))
    if not _says(node, "memory"):
        return Place(name, total, free, why)
    memory = int(_allocatable(node, "memory"))
    return Place(name, total, free, why, memory, max(0, memory - int(used.get("memory", 0))))


def _too_small(node: Object, wanted: Demand) -> str | None:
    for resource, number in wanted.requests.items():
        if _says(node, resource) and _allocatable(node, resource) < number:
            return (
                f"it has {_shown(resource, _allocatable(node, resource))}, and {_shown(resource, number)} is asked for"
            )
    return None


def _crowded(node: Object, used: Amounts, wanted: Demand) -> str | None:
    for resource, number in wanted.requests.items():
        left = _allocatable(node, resource) - used.get(resource, Decimal())
        if _says(node, resource) and left < number:
            return f"full: {_shown(resource, left)} is left, and {_shown(resource, number)} is asked for"
    return None


def _says(node: Object, resource: str) -> bool:
    # a node as a file describes it may tell of its accelerators alone
    return resource in node.get("status", {}).get("allocatable", {})


def _allocatable(node: Object, resource: str) -> Decimal:
    return amount(node.get("status", {}).get("allocatable", {}).get(resource, 0))


def _shown(resource: str, number: Decimal) -> str:
    if resource == "memory":
        return f"{float(number) / 2**30:.1f} GiB of memory"
    return f"{float(number):g} {resource}"
