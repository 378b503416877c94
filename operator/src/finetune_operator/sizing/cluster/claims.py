"""What jobs are about to take: they have been sized for a kind of accelerator and hold no node yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from pydantic import ValidationError

from finetune_api.schema import Quantity
from finetune_api.spec.pod import PodTemplate
from finetune_operator.sizing.cluster.demand import Demand, Object, demand
from finetune_operator.sizing.cluster.inventory import inventory, place
from finetune_operator.sizing.cluster.usage import Usage, add
from finetune_operator.sizing.hardware import Table
from finetune_operator.sizing.quantity import amount, at_least


@dataclass(frozen=True, slots=True)
class Claim:
    """Of one job. Those of jobs that are alike are equal."""

    accelerator: str
    """Its kind, by its name in the hardware table."""
    count: int
    """Accelerators, all on one node."""
    cpu: str | int | None = None
    memory: str | int | None = None
    """Quantities that the job says its pod requests."""
    host_gib: int | None = None
    """What sizing found it to need of memory."""
    spot: bool | None = None
    placement: str = "{}"
    """What spec.podTemplate says of nodes, as JSON."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a job that is to be sized cannot have now."""

    usage: Usage
    """On each node: what is held, and what is about to be."""
    awaited: Mapping[str, Sequence[int]]
    """Of each kind, what those wait for that found no room: accelerators of one node, of each."""


def with_claims(
    nodes: Sequence[Object], used: Usage, claims: Iterable[Claim], table: Table, *, cpu: Quantity, memory: Quantity
) -> Taken:
    """What is taken once every claim, in their order, has the first node of its kind with room for it.

    Nobody knows which node the scheduler will take; where nodes of a kind are alike, that makes no difference to what
    is left of it. A claim that finds no room takes nothing of them: its job waits itself. `cpu` and `memory` are what a
    job requests that doesn't say; more memory where sizing found more.
    """
    by_name = {str(node["metadata"]["name"]): node for node in nodes}
    taken = {name: dict(amounts) for name, amounts in used.items()}
    awaited: defaultdict[str, list[int]] = defaultdict(list)
    lots: dict[Claim, list[str]] = {}
    for claim in claims:
        row, wanted = table.find(claim.accelerator), _demand(claim, cpu, memory)
        if row is None or row.resource is None or wanted is None:
            continue
        if claim not in lots:
            found = inventory(nodes, {}, wanted, table).places.get(row.name, ())
            lots[claim] = [each.node for each in reversed(found) if each.closed is None]
        lot = lots[claim]
        # nothing is given back here, so a node without room is never looked at again
        while lot and place(by_name[lot[-1]], row.resource, taken.get(lot[-1], {}), wanted).free < claim.count:
            lot.pop()
        if not lot:
            awaited[row.name].append(claim.count)
        else:
            add(taken.setdefault(lot[-1], {}), {**wanted.requests, row.resource: Decimal(claim.count)})
    return Taken(taken, awaited)


@lru_cache(maxsize=1024)
def _demand(claim: Claim, cpu: Quantity, memory: Quantity) -> Demand | None:
    """Where its pod may go. None: its job is about to be refused for what it says of that."""
    try:
        template = PodTemplate.model_validate_json(claim.placement)
    except ValidationError:
        return None
    needed = at_least(memory, claim.host_gib) if claim.memory is None else claim.memory
    requests = {"cpu": amount(cpu if claim.cpu is None else claim.cpu), "memory": amount(needed)}
    return demand(template, spot=claim.spot, requests=requests)
