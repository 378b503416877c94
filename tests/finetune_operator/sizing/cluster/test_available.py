"""What a cluster has for a job."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.sizing.cluster.demand import demand
from finetune_operator.sizing.cluster.offer import Availability
from finetune_operator.sizing.cluster.offers import NodesToCome, available, is_slice, of_whole_table
from finetune_operator.sizing.hardware import PARTITION_LABEL, Hardware, builtin
from tests.finetune_operator.sizing.cluster.objects import GPU_TAINT, TAINT, Object, gpu_pod, node
from tests.finetune_operator.sizing.cluster.there import counts, here


def tainted(found: Object) -> Object:
    """The node, for those alone who ask for GPUs."""
    return {**found, "spec": {**found["spec"], "taints": [GPU_TAINT]}}


SLICED = node(
    product="NVIDIA-A100-SXM4-40GB",
    gpus=7,
    labels={"nvidia.com/mig-2g.10gb.product": "NVIDIA-A100-SXM4-40GB-MIG-2g.10gb"},
    allocatable={"nvidia.com/mig-2g.10gb": "3"},
)
FREE, APPEARS, TAKEN, NEVER = Availability


@pytest.mark.parametrize(
    ("nodes", "template", "there"),
    [
        ([node(gpus=0)], {}, {}),
        ([node()], {}, {"L4": [(8, 5)]}),  # three are taken in all of these
        ([node(), node("gpu-2")], {}, {"L4": [(8, 5), (8, 8)]}),
        ([node(), node("gpu-2", "Tesla-T4", gpus=4)], {}, {"T4": [(4, 4)], "L4": [(8, 5)]}),
        ([node(cordoned=True)], {}, {"L4": [(8, 0)]}),
        ([node(ready=False)], {}, {"L4": [(8, 0)]}),
        ([node(taints=[{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}])], {}, {"L4": [(8, 0)]}),
        ([node(taints=[TAINT])], {}, {}),
        ([node(taints=[{**TAINT, "effect": "NoExecute"}])], {}, {}),
        ([node(taints=[{**TAINT, "effect": "PreferNoSchedule"}])], {}, {"L4": [(8, 5)]}),
        ([node(taints=[GPU_TAINT])], {}, {"L4": [(8, 5)]}),  # the operator tolerates it
        ([node(taints=[TAINT])], {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}, {"L4": [(8, 5)]}),
        ([node(taints=[TAINT])], {"tolerations": [{"key": "dedicated", "value": "team-b"}]}, {"L4": [(8, 5)]}),
        ([node(taints=[TAINT])], {"tolerations": [{"key": "dedicated", "value": "team-a"}]}, {}),
        ([node(taints=[TAINT])], {"tolerations": [{"operator": "Exists", "effect": "NoExecute"}]}, {}),
        ([node(taints=[TAINT], cordoned=True)], {"tolerations": [{"operator": "Exists"}]}, {"L4": [(8, 5)]}),
        (
            [node(labels={"zone": "a"}), node("gpu-2", labels={"zone": "b"})],
            {"nodeSelector": {"zone": "b"}},
            {"L4": [(8, 8)]},
        ),
        # slices of a GPU: in MIG's mixed strategy beside whole ones, in its single one under their name
        ([SLICED], {}, {"A100-40GB": [(7, 4)], "A100-40GB-MIG-2g.10gb": [(3, 3)]}),
        # whose node is tainted as one of whole GPUs is
        ([tainted(SLICED)], {}, {"A100-40GB": [(7, 4)], "A100-40GB-MIG-2g.10gb": [(3, 3)]}),
        ([node(product="NVIDIA-A100-SXM4-40GB-MIG-2g.10gb")], {}, {"A100-40GB-MIG-2g.10gb-single": [(8, 5)]}),
        ([node(product=None)], {}, {"nvidia-gpu": [(8, 5)]}),
        ([node(product="NVIDIA-Z9000")], {}, {"nvidia-gpu": [(8, 5)]}),
    ],
)
def test_places(nodes: list[Object], template: Object, there: dict[str, Any]) -> None:
    assert counts(here(nodes, [gpu_pod(3)], template)) == there


@pytest.mark.parametrize(
    ("term", "matches"),
    [
        ({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}, True),
        ({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "rack", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["64"]}]}, True),
        ({"matchExpressions": [{"key": "cores", "operator": "Lt", "values": ["96"]}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "Gt", "values": ["1"]}]}, False),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-1"]}]}, True),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-2"]}]}, False),
        ({}, False),
    ],
)
def test_required_affinity(term: Object, matches: bool) -> None:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    found = here([node(labels={"zone": "a", "cores": "96"})], template={"affinity": {"nodeAffinity": required}})
    assert bool(found.offers) is matches


SPOT_TAINT = {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spot", "labels", "taints", "there"),
    [
        (None, {"karpenter.sh/capacity-type": "spot"}, [], True),  # nothing is said, and nothing keeps it away
        (None, {"cloud.google.com/gke-spot": "true"}, [SPOT_TAINT], False),
        (True, {"cloud.google.com/gke-spot": "true"}, [SPOT_TAINT], True),
        (True, {}, [], True),
        (False, {"eks.amazonaws.com/capacityType": "SPOT"}, [], False),
        (False, {"eks.amazonaws.com/capacityType": "ON_DEMAND"}, [], True),
        (False, {}, [], True),
    ],
)
def test_nodes_that_may_be_taken_away(
    spot: bool | None, labels: dict[str, str], taints: list[Object], there: bool
) -> None:
    found = available([node(labels=labels, taints=taints)], {}, demand(None, spot=spot), builtin())
    assert bool(found.offers) is there


def test_what_is_excluded_is_said() -> None:
    found = here([node(taints=[TAINT]), node("gpu-2", labels={"zone": "a"})], template={"nodeSelector": {"zone": "b"}})
    assert [str(each) for each in found.excluded] == [
        "gpu-1 (L4): its label zone is not there instead of b",
        "gpu-2 (L4): its label zone is a instead of b",
    ]
    assert str(here([node(taints=[TAINT])]).excluded[0]) == (
        "gpu-1 (L4): its taint dedicated=team-b:NoSchedule is not tolerated"
    )


def test_an_unknown_kind_is_said_with_what_to_do() -> None:
    (unknown,) = here([node(product="NVIDIA-Z9000")]).unknown
    assert "NVIDIA-Z9000" in str(unknown)
    assert "add a row" in str(unknown)


def test_a_node_without_cpu_or_memory_for_the_pod() -> None:
    big = here([node()], asks={"memory": 128 * 2**30})
    assert not big.offers
    assert "62.0 GiB of memory, and 128.0 GiB of memory is asked for" in str(big.excluded[0])
    hog = gpu_pod(1)
    hog["spec"]["containers"][0]["resources"]["requests"] = {"memory": "50Gi"}
    (offer,) = here([node()], [hog], asks={"memory": 32 * 2**30}).offers
    assert offer.availability(1) == TAKEN
    assert offer.why_not(1) == "gpu-1 is full: 12.0 GiB of memory is left, and 32.0 GiB of memory is asked for"


def test_what_only_a_plan_asks_of_the_host() -> None:
    """Host memory follows from how a run is split, so nodes are asked for it plan by plan."""
    hog = gpu_pod(1)
    hog["spec"]["containers"][0]["resources"]["requests"] = {"memory": "50Gi"}
    (offer,) = here([node()], [hog]).offers
    assert [offer.for_pods_of(gib * 2**30).availability(1) for gib in (12, 13, 62, 63)] == [FREE, TAKEN, TAKEN, NEVER]


TWO = [node("gpu-1"), node("gpu-2", gpus=4)]


@pytest.mark.parametrize(
    ("count", "nodes", "when", "why"),
    [
        (1, 1, FREE, None),
        (4, 1, FREE, None),
        (8, 1, TAKEN, "gpu-1 has 2 of 8 free"),
        (16, 1, NEVER, "no node has more than 8"),
        (2, 2, FREE, None),
        (4, 2, TAKEN, "gpu-1 has 2 of 8 free, gpu-2 has 4 of 4 free"),
        (8, 2, NEVER, "there are not 2 such nodes"),
    ],
)
def test_availability(count: int, nodes: int, when: Availability, why: str | None) -> None:
    (offer,) = here(TWO, [gpu_pod(6)]).offers
    assert offer.availability(count, nodes) == when
    if why is not None:
        assert offer.why_not(count, nodes) == why


def test_many_nodes_are_not_all_named() -> None:
    nodes = [node(f"gpu-{i}") for i in range(5)]
    (offer,) = here(nodes, [gpu_pod(8, on=f"gpu-{i}") for i in range(5)]).offers
    assert offer.why_not(1).endswith("gpu-2 has 0 of 8 free and 2 more nodes")


@pytest.mark.parametrize(
    ("nodes", "count", "when"),
    [
        ([], 8, APPEARS),
        ([node()], 1, FREE),
        ([node(cordoned=True)], 8, APPEARS),
        ([node(cordoned=True), node("gpu-2", cordoned=True)], 8, TAKEN),  # as many as there may be
        ([], 16, NEVER),
    ],
)
def test_nodes_to_come(nodes: list[Object], count: int, when: Availability) -> None:
    to_come = [NodesToCome(accelerator="l4", count=8, nodes=2)]
    (offer,) = here(nodes, to_come=to_come).offers
    assert offer.availability(count) == when


@pytest.mark.parametrize(
    ("awaited", "count", "when"),
    [
        ([], 8, APPEARS),
        ([1], 8, APPEARS),  # on the second node
        ([8, 8], 1, TAKEN),
        ([8, 1], 8, TAKEN),
        ([8, 1], 7, APPEARS),  # beside it
        ([8] * 9, 1, TAKEN),
        ([16, 16], 8, APPEARS),  # not for such nodes
    ],
)
def test_nodes_to_come_are_for_those_first_who_wait(awaited: list[int], count: int, when: Availability) -> None:
    to_come = [NodesToCome(accelerator="l4", count=8, nodes=2)]
    (offer,) = here([], to_come=to_come, awaited={"L4": awaited}).offers
    assert offer.availability(count) == when
    assert offer.availability(8, nodes=3) == NEVER


def test_what_others_wait_for_is_said() -> None:
    to_come = [NodesToCome(accelerator="l4", count=8, nodes=2)]
    (offer,) = here([node()], [gpu_pod(8)], to_come=to_come, awaited={"L4": [8]}).offers
    assert offer.why_not(1) == "gpu-1 has 0 of 8 free, others wait for the nodes that are to be added"


def test_nodes_that_are_there_count_among_those_to_come() -> None:
    to_come = [NodesToCome(accelerator="l4", count=8, nodes=1)]
    assert not here([node(taints=[TAINT])], to_come=to_come).offers, "it is another's, and there is no second"


def test_nodes_to_come_of_no_known_kind() -> None:
    with pytest.raises(LookupError, match="no H9000"):
        here([], to_come=[NodesToCome(accelerator="H9000", count=8, nodes=2)])


@pytest.mark.parametrize(
    ("row", "slice_of_one"),
    [
        ({"resource": "nvidia.com/gpu", "products": ["NVIDIA-A30"]}, False),
        ({"resource": "nvidia.com/mig-1g.6gb", "products": ["NVIDIA-A30-MIG-1g.6gb"]}, True),
        ({"resource": "nvidia.com/gpu", "products": ["NVIDIA-A30-MIG-1g.6gb"]}, True),  # strategy single
        ({"resource": "nvidia.com/gpu", "label": PARTITION_LABEL, "products": ["1g.5gb"]}, True),  # GKE
    ],
)
def test_slices_are_told_from_whole_gpus(row: dict[str, object], slice_of_one: bool) -> None:
    measured = {"name": "ours", "memoryGiB": 5, "bf16": True, "tflops": 40, "bandwidthGBs": 200}
    assert is_slice(Hardware.model_validate(row | measured)) == slice_of_one


def test_the_whole_table() -> None:
    offers = {offer.hardware.name: offer for offer in of_whole_table(builtin()).offers}
    assert "cpu" not in offers
    assert "nvidia-gpu" not in offers
    assert offers["A100-80GB"].availability(8, 4) == APPEARS
    assert offers["A100-80GB"].availability(16) == NEVER
