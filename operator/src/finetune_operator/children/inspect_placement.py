"""Which nodes may run the pod that reads the inputs: those of the training pods, and any without an accelerator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from finetune_api.spec.pod import PodTemplate

VENDORS = ("nvidia.com/", "amd.com/")
WORDS = ("gpu", "accelerator", "instance-type")


def inspect_placement(template: PodTemplate, *, taints: Iterable[str]) -> dict[str, Any]:
    """The fields of a pod's spec that place it.

    What the user says of zones, pools and architectures holds; what speaks of accelerators does not, nor does a
    runtimeClassName, which is theirs too, nor what is only preferred. `taints` are keys of taints to be tolerated:
    those of nodes that alone may have the claims to be read.
    """
    selector = {key: value for key, value in (template.node_selector or {}).items() if not speaks_of_accelerators(key)}
    given = [toleration.to_json() for toleration in template.tolerations or []]
    own = [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in taints]
    fields = {
        "nodeSelector": selector,
        "tolerations": [*given, *(each for each in own if each not in given)],
        "affinity": _affinity(template),
        "priorityClassName": template.priority_class_name,
        "schedulerName": template.scheduler_name,
    }
    return {name: value for name, value in fields.items() if value}


def speaks_of_accelerators(key: str) -> bool:
    """Whether a node's label is about accelerators, such as nvidia.com/gpu.product or cloud.google.com/gke-accelerator,
    or stands for them, as a cloud's type of machine does.
    """
    return key.startswith(VENDORS) or any(word in key for word in WORDS)


def _affinity(template: PodTemplate) -> dict[str, Any]:
    """Terms are alternatives: where one of them has nothing left to ask for, any node will do."""
    affinity = template.affinity.to_json() if template.affinity else {}
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = affinity.get("nodeAffinity", {}).get(key, {}).get("nodeSelectorTerms", [])
    left = []
    for term in terms:
        expressions = [
            each for each in term.get("matchExpressions") or [] if not speaks_of_accelerators(str(each.get("key")))
        ]
        fields = term.get("matchFields") or []
        if not expressions and not fields:
            return {}
        left.append(
            {name: value for name, value in (("matchExpressions", expressions), ("matchFields", fields)) if value}
        )
    return {"nodeAffinity": {key: {"nodeSelectorTerms": left}}} if left else {}
