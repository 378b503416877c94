"""spec.podTemplate.affinity: a Pod's affinity, spelt out.

A raw object would be simpler, but CEL compares the unknown fields of two objects by those that both have, so that
replacing one unknown field by another passes for no change; and a mistake would show only when the pod is made.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.schema import Schema

LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")]
LabelMap = Annotated[dict[str, LabelValue], Field(max_length=32)]
Weight = Annotated[int, Field(ge=1, le=100)]
Namespace = Annotated[str, Field(min_length=1, max_length=63)]


class NodeRequirement(Schema):
    """What a label or field of a node must be."""

    key: LabelKey
    """Key of the label or field."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How the values are compared."""
    values: Annotated[list[Annotated[str, Field(max_length=253)]], Field(max_length=32)] | None = None
    """Values: some for In and NotIn, one for Gt and Lt, none for the others."""


class NodeTerm(Schema):
    """Requirements that a node must meet together."""

    match_expressions: Annotated[list[NodeRequirement], Field(max_length=8)] | None = None
    """Requirements of the node's labels."""
    match_fields: Annotated[list[NodeRequirement], Field(max_length=8)] | None = None
    """Requirements of the node's fields."""


class NodeSelector(Schema):
    """Nodes by their labels."""

    node_selector_terms: Annotated[list[NodeTerm], Field(min_length=1, max_length=8)]
    """The node must meet one of these."""


class PreferredNodes(Schema):
    """Nodes that are preferred."""

    weight: Weight
    """How much, from 1 to 100."""
    preference: NodeTerm
    """Which nodes."""


class NodeAffinity(Schema):
    """Nodes that the pod must or should run on."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Nodes that it must run on."""
    preferred_during_scheduling_ignored_during_execution: (
        Annotated[list[PreferredNodes], Field(max_length=8)] | None
    ) = None
    """Nodes that it should run on."""


class LabelRequirement(Schema):
    """What a label must be."""

    key: LabelKey
    """Key of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the values are compared."""
    values: Annotated[list[LabelValue], Field(max_length=32)] | None = None
    """Values: some for In and NotIn, none for the others."""


class LabelSelector(Schema):
    """Objects by their labels."""

    match_labels: LabelMap | None = None
    """Labels that it must have."""
    match_expressions: Annotated[list[LabelRequirement], Field(max_length=8)] | None = None
    """Requirements that it must meet."""


class PodTerm(Schema):
    """Pods that run in the same place."""

    topology_key: LabelKey
    """Label of nodes whose value is the place, such as topology.kubernetes.io/zone."""
    label_selector: LabelSelector | None = None
    """The pods, by their labels."""
    namespaces: Annotated[list[Namespace], Field(max_length=8)] | None = None
    """Their namespaces; left out: the job's."""
    namespace_selector: LabelSelector | None = None
    """Their namespaces, by labels."""
    match_label_keys: Annotated[list[LabelKey], Field(max_length=8)] | None = None
    """Keys of labels that they must have in common with this pod."""
    mismatch_label_keys: Annotated[list[LabelKey], Field(max_length=8)] | None = None
    """Keys of labels in which they must differ from this pod."""


class PreferredPods(Schema):
    """Pods whose place is preferred."""

    weight: Weight
    """How much, from 1 to 100."""
    pod_affinity_term: PodTerm
    """Which pods."""


class PodAffinity(Schema):
    """Pods that the pod must or should run beside (or, in podAntiAffinity, must not)."""

    required_during_scheduling_ignored_during_execution: Annotated[list[PodTerm], Field(max_length=8)] | None = None
    """What must hold."""
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredPods], Field(max_length=8)] | None = (
        None
    )
    """What should hold."""


class Affinity(Schema):
    """Rules about nodes and other pods, as in a Pod."""

    node_affinity: NodeAffinity | None = None
    """About nodes."""
    pod_affinity: PodAffinity | None = None
    """About pods to run beside."""
    pod_anti_affinity: PodAffinity | None = None
    """About pods to run away from."""
