"""What a Kueue queue gives of what a cluster has."""

from __future__ import annotations

import pytest

from finetune_operator.sizing.cluster.offer import Availability
from finetune_operator.sizing.cluster.offers import NodesToCome
from finetune_operator.sizing.cluster.queue import Kueue
from finetune_operator.sizing.cluster.quota import quota as of_quota
from tests.finetune_operator.sizing.cluster.objects import (
    TAINT,
    Object,
    cluster_queue,
    flavor,
    local_queue,
    node,
    quota,
)
from tests.finetune_operator.sizing.cluster.there import here

FREE, APPEARS, TAKEN, NEVER = Availability
KUEUE = Kueue([local_queue()], [cluster_queue()], [flavor("l4", {"nvidia.com/gpu.product": "NVIDIA-L4"})])


@pytest.mark.parametrize(
    ("queues", "ceiling", "free"),
    [
        ([cluster_queue()], 4, 4),
        ([cluster_queue(used={"l4": {"nvidia.com/gpu": 3}})], 4, 1),
        # beyond its own only in a cohort
        ([cluster_queue(), cluster_queue("other")], 4, 4),
        ([cluster_queue(cohortName="all"), cluster_queue("other", cohortName="all")], 8, 8),
        ([cluster_queue(cohort="all"), cluster_queue("other", cohort="all")], 8, 8),  # v1beta1
        ([cluster_queue(cohort="all"), cluster_queue("other", cohort="else")], 4, 4),
        (
            [
                cluster_queue(used={"l4": {"nvidia.com/gpu": 1}}, cohortName="all"),
                cluster_queue("other", used={"l4": {"nvidia.com/gpu": 3}}, cohortName="all"),
            ],
            8,
            4,
        ),
        (
            [
                cluster_queue("research", {"l4": {"nvidia.com/gpu": quota(4, borrowing=2)}}, cohortName="all"),
                cluster_queue("other", cohortName="all"),
            ],
            6,
            6,
        ),
        (
            [
                cluster_queue(cohortName="all"),
                cluster_queue("other", {"l4": {"nvidia.com/gpu": quota(4, lending=1)}}, cohortName="all"),
            ],
            5,
            5,
        ),
        # the other has borrowed two of ours
        (
            [
                cluster_queue(cohortName="all"),
                cluster_queue("other", used={"l4": {"nvidia.com/gpu": 6}}, cohortName="all"),
            ],
            8,
            2,
        ),
        # ... which it cannot where we lend nothing
        (
            [
                cluster_queue("research", {"l4": {"nvidia.com/gpu": quota(4, lending=0)}}, cohortName="all"),
                cluster_queue("other", used={"l4": {"nvidia.com/gpu": 4}}, cohortName="all"),
            ],
            8,
            4,
        ),
        ([cluster_queue(cohortName="all"), cluster_queue("other", cohortName="all", stopPolicy="Hold")], 4, 4),
        ([cluster_queue("research", {"t4": {"nvidia.com/gpu": quota(4)}})], 0, 0),
    ],
)
def test_quota(queues: list[Object], ceiling: int, free: int) -> None:
    found = here([node()], kueue=Kueue(KUEUE.local_queues, queues, KUEUE.flavors))
    (share,) = [offer.share for offer in found.offers]
    assert share is not None
    assert (share.ceiling, share.free) == (ceiling, free)


def test_quota_of_a_cohort_object() -> None:
    cohort = {"metadata": {"name": "all"}, "spec": cluster_queue()["spec"]}
    kueue = Kueue(KUEUE.local_queues, [cluster_queue(cohortName="all")], KUEUE.flavors, [cohort])
    (offer,) = here([node()], kueue=kueue).offers
    assert offer.availability(8) == FREE


def test_more_than_a_queue_can_ever_give_is_said_with_the_numbers() -> None:
    (offer,) = here([node()], kueue=KUEUE).offers
    assert offer.availability(4) == FREE
    assert offer.availability(8) == NEVER
    assert offer.why_not(8) == (
        "queue team-a (ClusterQueue research) can never give more than 4 (flavour l4, nominal quota 4)"
    )


def test_quota_in_use_is_waited_for() -> None:
    queues = [cluster_queue(used={"l4": {"nvidia.com/gpu": 3}})]
    (offer,) = here([node()], kueue=Kueue(KUEUE.local_queues, queues, KUEUE.flavors)).offers
    assert offer.availability(2) == TAKEN
    assert offer.why_not(2) == ("queue team-a (ClusterQueue research) has 1 of 4 left (flavour l4, nominal quota 4)")


def test_a_flavour_says_where_and_lets_in() -> None:
    """A flavour of spot nodes: its labels choose them, its tolerations open them."""
    nodes = [node("spot-1", labels={"spot": "true"}, taints=[TAINT]), node("gpu-1", gpus=2)]
    queues = [cluster_queue("research", {"spot": {"nvidia.com/gpu": quota(16)}, "l4": {"nvidia.com/gpu": quota(1)}})]
    flavors = [
        flavor("spot", {"spot": "true"}, nodeTaints=[TAINT], tolerations=[{"key": "dedicated", "operator": "Exists"}]),
        flavor("l4"),
    ]
    found = here(nodes, kueue=Kueue(KUEUE.local_queues, queues, flavors))
    assert [[place.node for place in offer.places] for offer in found.offers] == [["spot-1"], ["gpu-1"]]
    assert [offer.availability(2) for offer in found.offers] == [FREE, NEVER]
    assert not found.excluded


@pytest.mark.parametrize(
    ("kueue", "says"),
    [
        (Kueue(), "queue team-a: there is no such LocalQueue in the job's namespace"),
        (Kueue([local_queue()]), "queue team-a (ClusterQueue research): there is no such ClusterQueue"),
        (
            Kueue([local_queue()], [cluster_queue(stopPolicy="HoldAndDrain")], KUEUE.flavors),
            "queue team-a (ClusterQueue research): it admits nothing: stopPolicy is HoldAndDrain",
        ),
        (
            Kueue([local_queue(stopPolicy="Hold")], [cluster_queue()], KUEUE.flavors),
            "queue team-a (ClusterQueue research): it admits nothing: stopPolicy is Hold",
        ),
    ],
)
def test_a_queue_that_is_not_there_is_waited_for(kueue: Kueue, says: str) -> None:
    (offer,) = here([node()], kueue=kueue).offers
    assert offer.availability(1) == TAKEN
    assert offer.why_not(1) == says


@pytest.mark.parametrize(
    ("flavors", "asks", "says"),
    [
        (KUEUE.flavors[:0], {}, "no flavour of it has nvidia.com/gpu for such a pod"),
        ([flavor("l4", nodeTaints=[TAINT])], {}, "no flavour of it has nvidia.com/gpu for such a pod"),
        ([flavor("l4", {"zone": "a"})], {}, "none of its flavours is for such nodes"),
        (KUEUE.flavors, {"cpu": 8}, "its cpu can never be more than 4, and 8 is asked for"),
    ],
)
def test_a_queue_that_can_never_give(flavors: list[Object], asks: dict[str, int], says: str) -> None:
    queues = [cluster_queue("research", {"l4": {"nvidia.com/gpu": quota(4), "cpu": quota(4)}})]
    (offer,) = here([node()], asks=asks, kueue=Kueue(KUEUE.local_queues, queues, flavors)).offers
    assert offer.availability(1) == NEVER
    assert says in offer.why_not(1)


def test_nodes_to_come_come_in_the_flavour_of_their_kind() -> None:
    kinds = {"t4": "nvidia-tesla-t4", "l4": "nvidia-l4"}
    flavors = [flavor(name, {"cloud.google.com/gke-accelerator": value}) for name, value in kinds.items()]
    queues = [cluster_queue("research", {name: {"nvidia.com/gpu": quota(16)} for name in kinds})]
    come = [NodesToCome(accelerator="L4", count=8, nodes=2)]
    (offer,) = here([], to_come=come, kueue=Kueue(KUEUE.local_queues, queues, flavors)).offers
    assert offer.share is not None
    assert "flavour l4" in offer.share.said


def test_a_resource_that_is_not_there_has_no_quota() -> None:
    assert of_quota(cluster_queue(), [], flavor="l4", resource="amd.com/gpu").ceiling == 0
