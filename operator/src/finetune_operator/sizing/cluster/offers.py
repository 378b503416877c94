"""All that a cluster has for a job: what nodes have of each kind, what nodes to come would have, what a queue gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

from pydantic import Field

from finetune_api.schema import Schema
from finetune_operator.sizing.cluster.demand import Demand, Object
from finetune_operator.sizing.cluster.inventory import Excluded, Inventory, host_bytes, inventory
from finetune_operator.sizing.cluster.offer import Appears, Offer, Share, of_table
from finetune_operator.sizing.cluster.queue import Flavor, Queue
from finetune_operator.sizing.cluster.usage import Usage
from finetune_operator.sizing.hardware import PARTITION_LABEL, Hardware, Table, UnknownAccelerator


class NodesToCome(Schema):
    """A kind of node that the cluster adds when a pod needs one (Cluster Autoscaler, Karpenter)."""

    accelerator: Annotated[str, Field(min_length=1, max_length=64)]
    """Kind of its accelerators, as in the hardware table."""
    count: Annotated[int, Field(ge=1, le=1024)]
    """Accelerators of one node."""
    nodes: Annotated[int, Field(ge=1, le=10_000)]
    """Most nodes of the kind, those that are there among them."""


@dataclass(frozen=True, slots=True)
class Available:
    """What there is for one job, and what is worth saying about it."""

    offers: tuple[Offer, ...]
    unknown: tuple[UnknownAccelerator, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    host_bytes: int | None = None
    """Memory of the largest node that could run the job on CPUs; None: it is not known."""


def available(
    nodes: Sequence[Object],
    used: Usage,
    wanted: Demand,
    table: Table,
    *,
    to_come: Sequence[NodesToCome] = (),
    awaited: Mapping[str, Sequence[int]] | None = None,
    queue: Queue | None = None,
) -> Available:
    """What the cluster has for a pod with these wants. Under Kueue one offer for each kind and flavour.

    `awaited`: of each kind, what other jobs wait for, which will be the first on nodes `to_come`.

    Raises:
        LookupError: `to_come` names a kind that the table does not have; the text says which and what there is.
    """
    for each in to_come:
        table.row(each.accelerator)
    plain, largest = inventory(nodes, used, wanted, table), host_bytes(nodes, wanted)
    offers_of = partial(_offers, table=table, to_come=to_come, awaited=awaited or {})
    if queue is None:
        return Available(tuple(offers_of(plain, None)), plain.unknown, plain.excluded, largest)
    offers: list[Offer] = []
    usable: set[str] = set()
    for resource in table.resources:
        for flavor, share in queue.shares(resource):
            # a flavour's tolerations can open nodes that the job alone could not use
            seen = plain if flavor is None else inventory(nodes, used, _under(wanted, flavor), table)
            usable |= seen.nodes
            offers += [
                offer
                for offer in offers_of(seen, share)
                if offer.hardware.resource == resource and _fits(offer.hardware, flavor)
            ]
    offered = {offer.hardware.name for offer in offers}
    for offer in offers_of(plain, None):
        if offer.hardware.name not in offered:
            offers.append(replace(offer, share=Share(queue.said, 0, 0, "none of its flavours is for such nodes")))
    excluded = tuple(each for each in plain.excluded if each.node not in usable)
    return Available(tuple(offers), plain.unknown, excluded, largest)


def of_whole_table(table: Table) -> Available:
    """Every kind of whole accelerator, as many as nodes that are sold have: for planning without a cluster."""
    return Available(
        tuple(
            of_table(row)
            for row in table
            if row.resource is not None and row.memory_gib is not None and not is_slice(row)
        )
    )


def is_slice(row: Hardware) -> bool:
    """Whether it is a MIG device: a part of a GPU that its owner has cut. A process can use only one of them (NVIDIA's
    MIG user guide, on CUDA device enumeration), whatever a node has.
    """
    named = "/mig-" in (row.resource or "") or any("-MIG-" in product for product in row.products)
    return named or row.label == PARTITION_LABEL


def _offers(
    seen: Inventory,
    share: Share | None,
    *,
    table: Table,
    to_come: Sequence[NodesToCome],
    awaited: Mapping[str, Sequence[int]],
) -> Iterator[Offer]:
    for row in table:
        places = seen.places.get(row.name, ())
        there = len(places) + sum(each.kind == row.name for each in seen.excluded)
        coming = [each for each in to_come if _names(row, each)]
        appears = _appears(coming, there, awaited.get(row.name, ()))
        if places or appears is not None:
            yield Offer(row, places, appears, share)


def _appears(coming: Sequence[NodesToCome], there: int, awaited: Iterable[int]) -> Appears | None:
    more = sum(each.nodes for each in coming) - there
    if more <= 0:
        return None
    per_node = max(each.count for each in coming)
    return Appears(per_node, more, awaited=sum(count for count in awaited if count <= per_node))


def _names(row: Hardware, each: NodesToCome) -> bool:
    return each.accelerator.casefold() in {name.casefold() for name in (row.name, *row.aliases)}


def _under(wanted: Demand, flavor: Flavor) -> Demand:
    return wanted.also(labels=flavor.labels, tolerations=flavor.tolerations)


def _fits(row: Hardware, flavor: Flavor | None) -> bool:
    """Whether nodes of the kind can have the flavour's labels, as far as the labels that tell the kind do."""
    labels = {} if flavor is None else flavor.labels
    telling, possible = {row.label, *row.other_labels}, set(row.tellings())
    return all(each in possible for each in labels.items() if each[0] in telling)
