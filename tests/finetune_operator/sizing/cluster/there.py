"""What a cluster that a test writes down has for a job."""

from __future__ import annotations

from decimal import Decimal

from finetune_api.spec.pod import PodTemplate
from finetune_operator.sizing.cluster.demand import demand
from finetune_operator.sizing.cluster.offers import Available, NodesToCome, available
from finetune_operator.sizing.cluster.queue import Kueue, queue
from finetune_operator.sizing.cluster.usage import requested
from finetune_operator.sizing.hardware import builtin
from tests.finetune_operator.sizing.cluster.objects import Object


def here(
    nodes: list[Object],
    pods: list[Object] | None = None,
    template: Object | None = None,
    *,
    asks: dict[str, int] | None = None,
    to_come: list[NodesToCome] | None = None,
    awaited: dict[str, list[int]] | None = None,
    kueue: Kueue | None = None,
) -> Available:
    """What is there for a job of this podTemplate, in queue team-a where there are queues."""
    wanted = demand(
        PodTemplate.model_validate(template or {}),
        requests={resource: Decimal(number) for resource, number in (asks or {}).items()},
    )
    table = builtin()
    held = queue("team-a", kueue=kueue, wanted=wanted, resources=table.resources) if kueue is not None else None
    used = requested(pods or [])
    return available(nodes, used, wanted, table, to_come=to_come or [], awaited=awaited, queue=held)


def counts(found: Available) -> dict[str, list[tuple[int, int]]]:
    """Total and free of each node, by kind."""
    return {
        offer.hardware.name: [(place.total, place.free) for place in offer.places]
        for offer in found.offers
        if offer.places
    }
