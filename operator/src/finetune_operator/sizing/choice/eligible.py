"""Which offers a job can use at all: those of the kind that it names, or every kind that the trainer would run on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from finetune_operator.sizing.choice.error import SizingError, UnknownKindError
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
    nothing better.

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
        on_cpus = "there is no accelerator, so it runs on CPUs; resources.accelerator names a kind to wait for"
        return _of_kind(request, table.row(CPU), there, (*notes, on_cpus))
    objections = {offer.hardware.name: request.objection(offer.hardware) for offer in there.offers}
    fine = [offer for offer in there.offers if objections[offer.hardware.name] is None]
    reasons = tuple(dict.fromkeys(each for each in objections.values() if each is not None))
    if not fine:
        raise SizingError("; ".join(reasons))
    usable = usable_unasked(fine)
    rows = {offer.hardware.name: offer.hardware for offer in fine}
    taken = {offer.hardware.name for offer in usable}
    notes += tuple(f"{name}: {_NO_CODE}" for name in rows if name in taken and _doubt(rows[name]) == _NO_CODE)
    reasons += tuple(
        f"{name} is only for jobs that name it in resources.accelerator: {_doubt(row)}"
        for name, row in rows.items()
        if name not in taken
    )
    return Eligible(tuple(usable), notes, reasons)


def usable_unasked(offers: Sequence[Offer]) -> list[Offer]:
    """Those that a job gets without naming their kind: of which there is no doubt, else of which there is the least."""
    for doubt in (None, _NO_MEMORY, _NO_CODE):
        if found := [offer for offer in offers if _doubt(offer.hardware) == doubt]:
            return found
    return []


_NAMED = 3
"""Of a list, in a sentence."""
_NO_MEMORY = "its memory is not known"
_NO_CODE = "it needs a trainer's image of its own; ours is made for CUDA"


def _doubt(row: Hardware) -> str | None:
    """Why a run on it may fail, whatever is computed; None: nothing is known against it."""
    if not (row.resource or "").startswith("nvidia.com/"):
        return _NO_CODE
    return _NO_MEMORY if row.memory_gib is None else None


def named(name: str, table: Table) -> Hardware:
    """The kind that a job asks for.

    Raises:
        UnknownKindError: there is none of that name; the text lists those that are called alike, first whole ones.
    """
    row = table.find(name)
    if row is None:
        whole = [row.name for row in table if not is_slice(row)]
        known = {each.casefold(): each for each in table.known_names()}
        alike = [each for folded, each in known.items() if name.casefold() in folded]
        alike = alike or [known[each] for each in get_close_matches(name.casefold(), known)]
        names = [each for each in alike if each in whole] or alike or whole
        raise UnknownKindError(f'spec.resources.accelerator: there is no kind "{name}"; there are {", ".join(names)}')
    return row


def _of_kind(request: Request, row: Hardware, there: Available, notes: tuple[str, ...]) -> Eligible:
    if row.resource is not None and request.resources.count == 0:
        raise SizingError(
            f"spec.resources.count: 0 means no accelerator, and {row.name} is one; use 1, or accelerator: cpu"
        )
    objection = request.objection(row)
    if objection is not None:
        raise SizingError(objection)
    if row.resource is None:
        _refuse_for_cpu(request)
        return Eligible((Offer(row),), notes)
    offers = tuple(offer for offer in there.offers if offer.hardware.name == row.name)
    if offers:
        return Eligible(offers, notes)
    if excluded := [each for each in there.excluded if each.kind == row.name]:
        raise SizingError(
            f"no node with {row.name} can run this job's pods: {_listed(excluded)}; change podTemplate or resources"
        )
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
