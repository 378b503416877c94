"""Nodes whose accelerators would do, and whose own memory wouldn't: the pod would never start there, or not now."""

from __future__ import annotations

import pytest

from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.cluster.offer import Offer, Place
from finetune_operator.sizing.cluster.offers import Available
from tests.finetune_operator.sizing.choice.places import chosen, refused
from tests.finetune_operator.sizing.choice.plain import GIB, TABLE, request

Node = tuple[str, int, int, int]
"""Kind and number of accelerators, GiB of host memory, and how many of those are free."""


def cluster(*nodes: Node) -> Available:
    offers: dict[str, tuple[Place, ...]] = {}
    for number, (kind, total, memory, free) in enumerate(nodes, start=1):
        place = Place(f"node-{number}", total, total, None, memory * GIB, free * GIB)
        offers[kind] = (*offers.get(kind, ()), place)
    return Available(tuple(Offer(TABLE.row(kind), places) for kind, places in offers.items()))


@pytest.mark.parametrize(
    ("asked", "there", "on", "lost"),
    [
        (request(), cluster(("Medium", 1, 4, 4), ("Large", 1, 64, 64)), "1x Medium", "costs $"),
        (
            request(),
            cluster(("Medium", 1, 3, 3), ("Large", 1, 64, 64)),
            "1x Large",
            "its pod needs 4 GiB of host memory, which node-1 (3.0 GiB) does not have",
        ),
        (
            request(),
            cluster(("Medium", 1, 8, 3), ("Large", 1, 64, 64)),
            "1x Large",
            "taken: node-1 is full: 3.0 GiB of memory is left, and 4.0 GiB is asked for",
        ),
        # as many as the node has memory for
        (request(resources={"maxDurationSeconds": 5400}), cluster(("Medium", 8, 64, 64)), "4x Medium", ""),
        (
            request(resources={"maxDurationSeconds": 5400}),
            cluster(("Medium", 8, 15, 15), ("Large", 1, 64, 64)),
            "1x Large",
            "",
        ),
        # what the user says is what the pod asks for, and the look at the nodes knew it
        (request(resources={"memory": "2Gi"}), cluster(("Medium", 1, 3, 3), ("Large", 1, 64, 64)), "1x Medium", ""),
    ],
)
def test_where_there_is_memory_for_the_pod(asked: Request, there: Available, on: str, lost: str) -> None:
    choice = chosen(asked, there)
    assert choice.best.places == on
    assert any(each.why.startswith(lost) for each in choice.alternatives) or not lost


def test_waiting_for_host_memory_says_so() -> None:
    choice = chosen(request(), cluster(("Medium", 1, 8, 3)))
    assert choice.best.waits_for == "1x Medium: node-1 is full: 3.0 GiB of memory is left, and 4.0 GiB is asked for"


def test_no_node_has_memory_for_the_pod() -> None:
    there = cluster(("Large", 2, 16, 16), ("Large", 2, 12, 12))
    assert refused(request("full", resources={"count": 2}), there) == (
        "full fine-tuning of 8.0B parameters fits on 2x Large (fsdp), but its pod needs 24 GiB of host memory, which "
        "node-1 (16.0 GiB) and 1 smaller do not have. Fits: qlora on 2x Large (ddp) (38.0 GiB), lora on 2x Large (ddp) "
        "(48.0 GiB)"
    )
