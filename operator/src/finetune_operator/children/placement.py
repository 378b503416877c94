"""Which nodes may run the pod: those with the right accelerator that also are what the user asks for."""

from __future__ import annotations

from typing import Any

from finetune_api.spec.pod import PodTemplate
from finetune_operator.sizing.hardware import Hardware


def placement(template: PodTemplate, hardware: Hardware) -> dict[str, Any]:
    """The fields of a pod's spec that place it."""
    affinity = template.affinity.to_json() if template.affinity else {}
    if hardware.products:
        affinity = _on_product(affinity, hardware)
    fields = {
        "nodeSelector": dict(template.node_selector or {}),
        "tolerations": _tolerations(template, hardware),
        "affinity": affinity,
        "priorityClassName": template.priority_class_name,
        "runtimeClassName": template.runtime_class_name,
        "schedulerName": template.scheduler_name,
    }
    return {name: value for name, value in fields.items() if value}


def _on_product(affinity: dict[str, Any], hardware: Hardware) -> dict[str, Any]:
    """`affinity`, and on a node of one of its products: terms are alternatives, so each of them gets the demand."""
    demand = {"key": hardware.label, "operator": "In", "values": list(hardware.products)}
    node = affinity.get("nodeAffinity", {})
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    # A term without a demand matches no node, in the API; it must not come to match some.
    terms = [term for term in required.get("nodeSelectorTerms", []) if any(term.values())]
    if required and not terms:
        return affinity
    demanded = [{**term, "matchExpressions": [*(term.get("matchExpressions") or []), demand]} for term in terms or [{}]]
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    return {**affinity, "nodeAffinity": {**node, key: {"nodeSelectorTerms": demanded}}}


def _tolerations(template: PodTemplate, hardware: Hardware) -> list[dict[str, Any]]:
    given = [toleration.to_json() for toleration in template.tolerations or []]
    if hardware.resource is None:
        return given
    # GPU nodes are often tainted with the resource's name, so that only what asks for the resource goes there.
    own = {"key": hardware.resource, "operator": "Exists", "effect": "NoSchedule"}
    return given if own in given else [*given, own]
