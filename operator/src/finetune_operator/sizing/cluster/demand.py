"""What a training pod asks of its node besides accelerators, and whether a node has it: the scheduler's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from finetune_api.spec.affinity import NodeRequirement, NodeTerm
from finetune_api.spec.pod import PodTemplate
from finetune_operator.sizing.cluster.spot import requirements, tolerations

Object = Mapping[str, Any]

# A taint of the node's own state goes when the state does; any other stays until somebody takes it away.
_OF_STATE = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_REPELLING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Demand:
    """Where a pod may go."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Object] = ()
    terms: Sequence[NodeTerm] | None = None
    """Required node affinity: one of them must hold. None: there is none."""
    requests: Mapping[str, Decimal] = field(default_factory=dict)
    """Cores of cpu, bytes of memory; accelerators are not among them."""

    def also(self, *, labels: Mapping[str, str], tolerations: Sequence[Object]) -> Demand:
        """With what a queue adds to the pod."""
        return replace(
            self,
            node_selector={**self.node_selector, **labels},
            tolerations=(*self.tolerations, *tolerations),
        )


def demand(
    template: PodTemplate | None, *, requests: Mapping[str, Decimal] | None = None, spot: bool | None = None
) -> Demand:
    """What `spec.podTemplate`, `spec.resources.spot` and the pod's requests come to."""
    template = template or PodTemplate()
    node = template.affinity.node_affinity if template.affinity is not None else None
    required = node.required_during_scheduling_ignored_during_execution if node is not None else None
    given = tuple(toleration.to_json() for toleration in template.tolerations or ())
    return Demand(
        node_selector=dict(template.node_selector or {}),
        tolerations=(*given, *tolerations(spot)),
        terms=_terms(None if required is None else required.node_selector_terms, spot),
        requests=dict(requests or {}),
    )


def _terms(given: Sequence[NodeTerm] | None, spot: bool | None) -> tuple[NodeTerm, ...] | None:
    more = [NodeRequirement.model_validate(each) for each in requirements(spot)]
    if not more:
        return None if given is None else tuple(given)
    if given is None:
        return (NodeTerm(match_expressions=more),)
    # a term that demands nothing matches no node, and must not come to match some
    return tuple(
        term.model_copy(update={"match_expressions": [*(term.match_expressions or ()), *more]})
        for term in given
        if term.match_expressions or term.match_fields
    )


def never(node: Object, wanted: Demand, *, resource: str) -> str | None:
    """Why the pod can never run on the node; None: it could.

    `resource`: the accelerator's. The operator tolerates the taints of `for_resource`, as `children.placement` has it.
    """
    metadata = node.get("metadata", {})
    labels = metadata.get("labels") or {}
    for key, value in wanted.node_selector.items():
        if labels.get(key) != value:
            return f"its label {key} is {labels.get(key, 'not there')} instead of {value}"
    if wanted.terms is not None and not any(_holds(term, labels, metadata.get("name", "")) for term in wanted.terms):
        return "it does not match podTemplate.affinity"
    for taint in _untolerated(node, wanted, resource):
        if not taint["key"].startswith(_OF_STATE):
            return f"its taint {_shown(taint)} is not tolerated"
    return None


def closed(node: Object, wanted: Demand, *, resource: str) -> str | None:
    """Why nothing new can run on the node now; None: it is open."""
    ready = [each["status"] for each in node.get("status", {}).get("conditions") or () if each["type"] == "Ready"]
    # a node as a file describes it may say nothing of its state
    if ready and ready[0] != "True":
        return "not ready"
    state = [taint["key"] for taint in _untolerated(node, wanted, resource) if taint["key"].startswith(_OF_STATE)]
    if _CORDON["key"] in state:
        return "cordoned"
    return f"tainted {state[0]}" if state else None


def tolerated(taint: Object, tolerations: Sequence[Object]) -> bool:
    """Whether one of `tolerations` lets a pod onto a node with this taint."""
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def repels(taint: Object) -> bool:
    """Whether a pod that does not tolerate the taint is kept away; PreferNoSchedule only discourages."""
    return taint.get("effect") in _REPELLING


def for_resource(resource: str) -> list[dict[str, Any]]:
    """What lets a pod onto nodes that are kept for those who ask for the resource: they are tainted with its name, or,
    where it is a MIG device, mostly with that of whole GPUs.
    """
    names = dict.fromkeys((resource, f"{resource.partition('/')[0]}/gpu"))
    return [{"key": name, "operator": "Exists", "effect": "NoSchedule"} for name in names]


def _untolerated(node: Object, wanted: Demand, resource: str) -> list[Object]:
    spec = node.get("spec") or {}
    cordon = [_CORDON] if spec.get("unschedulable") else []
    return [
        taint
        for taint in [*(spec.get("taints") or ()), *cordon]
        if repels(taint) and not tolerated(taint, (*wanted.tolerations, *for_resource(resource)))
    ]


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    key = toleration.get("key") or ""
    if toleration.get("operator") == "Exists":
        return key in ("", taint["key"])
    return bool(key == taint["key"] and (toleration.get("value") or "") == (taint.get("value") or ""))


def _holds(term: NodeTerm, labels: Mapping[str, str], name: str) -> bool:
    expressions, fields = term.match_expressions or (), term.match_fields or ()
    # a term that demands nothing matches no node
    return bool(expressions or fields) and (
        all(_meets(each, labels.get(each.key)) for each in expressions)
        and all(_meets(each, name if each.key == "metadata.name" else None) for each in fields)
    )


def _meets(requirement: NodeRequirement, value: str | None) -> bool:
    values = requirement.values or []
    match requirement.operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _number(value) is not None and int(str(value)) > int(values[0])
        case "Lt":
            return _number(value) is not None and int(str(value)) < int(values[0])


def _number(value: str | None) -> int | None:
    try:
        return None if value is None else int(value)
    except ValueError:
        return None


def _shown(taint: Object) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"
