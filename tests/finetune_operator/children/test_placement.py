"""Pods ask for the nodes that the hardware table would tell."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.spec.affinity import NodeTerm
from finetune_api.spec.pod import PodTemplate
from finetune_operator.children.placement import placement
from finetune_operator.sizing.cluster.demand import Demand, never
from finetune_operator.sizing.hardware import PRODUCT_LABEL, SHARING_LABELS, Hardware, builtin

GPU = "nvidia.com/gpu"
GKE = "cloud.google.com/gke-accelerator"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
ROWS = [row for row in builtin() if row.resource == GPU and row.products]


def terms(hardware: Hardware, template: dict[str, Any] | None = None) -> list[NodeTerm]:
    """Those of which a node must meet one."""
    affinity = placement(PodTemplate.model_validate(template or {}), hardware)["affinity"]
    required = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return [NodeTerm.model_validate(term) for term in required["nodeSelectorTerms"]]


def node(labels: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": "n", "labels": labels}, "status": {"allocatable": {GPU: "8"}}}


def fits(hardware: Hardware, labels: dict[str, str]) -> bool:
    return never(node(labels), Demand(terms=terms(hardware)), resource=GPU) is None


@pytest.mark.parametrize(
    ("labels", "fit"),
    [
        ({PRODUCT_LABEL: "NVIDIA-L4"}, True),
        ({GKE: "nvidia-l4"}, True),
        ({INSTANCE_TYPE: "g6.xlarge"}, True),
        ({PRODUCT_LABEL: "NVIDIA-L4", GKE: "nvidia-l4", INSTANCE_TYPE: "g2-standard-4"}, True),
        ({}, False),
        ({INSTANCE_TYPE: "g6f.xlarge"}, False),  # a part of one
        ({GKE: "nvidia-l4", SHARING_LABELS[1]: "time-sharing"}, False),
        ({PRODUCT_LABEL: "NVIDIA-L4-SHARED", GKE: "nvidia-l4"}, False),
    ],
)
def test_nodes_for_an_l4(labels: dict[str, str], fit: bool) -> None:
    assert fits(builtin().row("L4"), labels) == fit


products = st.sampled_from([*(product for row in ROWS for product in row.products), "NVIDIA-L4-SHARED"])
others = st.sampled_from([(GKE, "nvidia-tesla-v100"), *(pair for row in ROWS for pair in list(row.tellings())[1:])])
sharing = st.sampled_from([(SHARING_LABELS[0], "1g.5gb"), (SHARING_LABELS[1], "mps")])


@given(st.none() | products, st.none() | others, st.none() | sharing)
def test_a_pod_goes_to_the_nodes_that_are_told_as_its_kind(
    product: str | None, other: tuple[str, str] | None, shared: tuple[str, str] | None
) -> None:
    labels = dict(pair for pair in [other, shared] if pair) | ({PRODUCT_LABEL: product} if product else {})
    told = builtin().of_node(node(labels))
    assert [row.name for row in ROWS if fits(row, labels)] == [row.name for row in ROWS if row == told]


def test_every_alternative_of_the_users_is_met_on_every_kind_of_node() -> None:
    zones = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]} for zone in ("a", "b")]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": zones}}
    found = terms(builtin().row("L4"), {"affinity": {"nodeAffinity": required}})
    keys = [tuple(each.key for each in term.match_expressions or ())[:2] for term in found]
    assert keys == [("zone", label) for label in (PRODUCT_LABEL, GKE, INSTANCE_TYPE) for _ in zones]
