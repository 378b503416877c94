"""Which offers a job can use at all: those of the kind that it names, or every kind that the trainer would run on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.cluster.offer import Appears, Offer
from finetune_operator.sizing.cluster.offers import Available, is_slice
from finetune_operator.sizing.hardware import CPU, Hardware, Table


@dataclass(frozen=True, slots=True)
class Eligible:
    """What the choice is made from."""

    offers: tuple[Offer, ...]
    notes: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()
    """Why other offers are out."""


def eligible(request: Request, there: Available, table: Table) -> Eligible:
    """The offers to choose from.

    A CPU is taken where it is asked for, or where there is no accelerator of any kind. A kind whose memory is not
    known, or for which the trainer's image has no code, is for those who ask for it, and for clusters that have
    nothing else.

    Raises:
        SizingError: there are none, or what is asked for contradicts itself.
    """
    asked = request.resources
    notes = tuple(str(unknown) for unknown in there.unknown[:_NAMED])
    if asked.accelerator is not None:
        return _of_kind(request, named(asked.accelerator, table), there, notes)
    if asked.count == 0:
        return _of_kind(request, table.row(CPU), there, notes)
    if not there.offers:
        if there.excluded:
            raise SizingError(
                f"no node with an accelerator can run this job's pods: {_listed(there.excluded)}; change "
                "podTemplate or resources, or set resources.accelerator: cpu"
            )
        return _of_kind(request, table.row(CPU), there, notes)
    objections = {offer.hardware.name: request.objection(offer.hardware) for offer in there.offers}
    fine = [offer for offer in there.offers if objections[offer.hardware.name] is None]
    known = [offer for offer in fine if offer.hardware.memory_gib is not None]
    known = [offer for offer in known if (offer.hardware.resource or "").startswith(_SERVED)] or known
    if not fine:
        raise SizingError("; ".join(dict.fromkeys(each for each in objections.values() if each is not None)))
    reasons = tuple(dict.fromkeys(each for each in objections.values() if each is not None))
    return Eligible(tuple(known or fine), notes, reasons)


_NAMED = 3
"""Of a list, in a sentence."""
_SERVED = "nvidia.com/"
"""The trainer's image brings CUDA. Who has built one for another vendor's accelerators asks for them by name."""


def named(name: str, table: Table) -> Hardware:
    """The kind that a job asks for.

    Raises:
        SizingError: there is none of that name; the text lists those that there are.
    """
    row = table.find(name)
    if row is None:
        raise SizingError(
            f'spec.resources.accelerator: there is no kind "{name}"; there are {", ".join(table.known_names())}'
        )
    return row


def _of_kind(request: Request, row: Hardware, there: Available, notes: tuple[str, ...]) -> Eligible:
    count = request.resources.count
    if row.resource is not None and count == 0:
        raise SizingError(
            f"spec.resources.count: 0 means no accelerator, and {row.name} is one; use 1, or accelerator: cpu"
        )
    objection = request.objection(row)
    if objection is not None:
        raise SizingError(objection)
    if count is not None and count > 1 and is_slice(row):
        raise SizingError(f"spec.resources.count: {row.name} is a slice of a GPU, and a process sees only one; use 1")
    if row.resource is None:
        _refuse_for_cpu(request)
        return Eligible((Offer(row),), notes)
    offers = tuple(offer for offer in there.offers if offer.hardware.name == row.name)
    if offers:
        return Eligible(offers, notes)
    if excluded := [each for each in there.excluded if each.kind == row.name]:
        raise SizingError(f"no node with {row.name} can run this job's pods: {_listed(excluded)}")
    # a pool that has been scaled to nothing shows no node, so a kind that is named is taken at its word
    unseen = replace(Offer(row), appears=Appears(per_node=row.per_node, promised=False))
    return Eligible((unseen,), (*notes, f"no node has {row.name}; the job waits until one does"))


def _refuse_for_cpu(request: Request) -> None:
    resources, sharding = request.resources, request.training.sharding
    for field, value, most in (("count", resources.count, 1), ("nodes", resources.nodes, 1)):
        if value is not None and value > most:
            raise SizingError(f"spec.resources.{field}: {value} is for accelerators, and a CPU run has none; remove it")
    if sharding in ("ddp", "fsdp"):
        raise SizingError(
            f"spec.training.sharding: {sharding} is for several accelerators, and a CPU run has none; leave it out"
        )


def _listed(things: Iterable[object]) -> str:
    said = [str(thing) for thing in things]
    more = len(said) - _NAMED
    return "; ".join(said[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
