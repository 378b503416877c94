"""Which nodes may run the pod: those with the right accelerator that also are what the user asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finetune_api.spec.pod import PodTemplate
from finetune_operator.sizing.cluster.demand import for_resource
from finetune_operator.sizing.cluster.spot import requirements, tolerations
from finetune_operator.sizing.hardware import SHARING_LABELS, Hardware


def placement(template: PodTemplate, hardware: Hardware, *, spot: bool | None = None) -> dict[str, Any]:
    """The fields of a pod's spec that place it. `spot`: spec.resources.spot."""
    affinity = template.affinity.to_json() if template.affinity else {}
    alternatives = [each for kind in _of_kind(hardware) if (each := kind + requirements(spot))]
    fields = {
        "nodeSelector": dict(template.node_selector or {}),
        "tolerations": [*_tolerations(template, hardware), *tolerations(spot)],
        "affinity": _demanding(affinity, alternatives) if alternatives else affinity,
        "priorityClassName": template.priority_class_name,
        "runtimeClassName": template.runtime_class_name,
        "schedulerName": template.scheduler_name,
    }
    return {name: value for name, value in fields.items() if value}


def _of_kind(hardware: Hardware) -> list[list[dict[str, Any]]]:
    """What a node must meet, one list of them: as `Table.kinds_of_node` tells nodes.

    They are in the order in which Karpenter tries them: it drops the first while it has no node that meets it.
    """
    if not hardware.products:
        return [[]]
    others = [
        [_is(label, values), _lacks(hardware.label), *map(_lacks, SHARING_LABELS)]
        for label, values in hardware.other_labels.items()
    ]
    return [[_is(hardware.label, hardware.products)], *others]


def _is(label: str, values: Sequence[str]) -> dict[str, Any]:
    return {"key": label, "operator": "In", "values": list(values)}


def _lacks(label: str) -> dict[str, Any]:
    return {"key": label, "operator": "DoesNotExist"}


def _demanding(affinity: dict[str, Any], alternatives: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """`affinity`, and on a node that meets one of the demands: terms are alternatives, so each gets them all."""
    node = affinity.get("nodeAffinity", {})
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    # A term without a demand matches no node, in the API; it must not come to match some.
    terms = [term for term in required.get("nodeSelectorTerms", []) if any(term.values())]
    if required and not terms:
        return affinity
    demanded = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or []), *demands]}
        for demands in alternatives
        for term in terms or [{}]
    ]
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    return {**affinity, "nodeAffinity": {**node, key: {"nodeSelectorTerms": demanded}}}


def _tolerations(template: PodTemplate, hardware: Hardware) -> list[dict[str, Any]]:
    given = [toleration.to_json() for toleration in template.tolerations or []]
    if hardware.resource is None:
        return given
    return [*given, *(own for own in for_resource(hardware.resource) if own not in given)]
