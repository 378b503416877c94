"""What is said beside a choice: what lost and why, and how it was made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.cluster.offer import Appears
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import UnknownAccelerator
from tests.finetune_operator.sizing.choice.places import chosen, cluster
from tests.finetune_operator.sizing.choice.plain import ARCHITECTURE, request

IN_FP32 = {"precision": "fp32"}


def test_nearly_the_same_cost_is_a_tie() -> None:
    """Of 8 Small at $1.98 and 4 at $2.16, four; those that cost more than a tenth less would be taken."""
    choice = chosen(request("lora"), cluster({"Small": [8]}))
    assert (choice.best.places, f"{choice.best.cost_usd:.2f}") == ("4x Small", "2.16")
    assert (choice.alternatives[0].option.places, choice.alternatives[0].why) == (
        "8x Small",
        "costs about the same ($1.98), and takes 8x Small of 10.0 GiB instead of 4x Small of 10.0 GiB",
    )


@pytest.mark.parametrize(
    ("asked", "there", "on", "why"),
    [
        # of one size: a third less time for 3% more money; what is smaller comes before that
        (
            request(),
            {"Large": [1], "Swift": [1]},
            "1x Swift",
            "costs about the same ($4.05), and takes 1h instead of 40m30s",
        ),
        (request(data=DataFacts()), {"Large": [1], "Swift": [1]}, "1x Swift", "costs about the same, and is slower"),
        (request(), {"Large": [1], "Swift": [(1, 0)]}, "1x Large", "taken: swift-1 has 0 of 1 free"),
        (
            request(resources={"priceUSDPerHour": 0}),
            {"Medium": [1], "Swift": [1]},
            "1x Medium",
            "costs about the same ($0.00), and takes 1x Swift of 80.0 GiB instead of 1x Medium of 24.0 GiB",
        ),
        # a cent is too little to tell them apart
        (
            request("qlora", resources={"count": 1}, data=DataFacts(rows=4, tokens=2000)),
            {"Medium": [1], "Large": [1]},
            "1x Medium",
            "costs a little more",
        ),
        # an accelerator without a price is there: by memory, and of one size the faster
        (
            request(),
            {"Large": [1], "Swift": [1], "Unpriced": [(1, 0)]},
            "1x Swift",
            "takes 1h instead of 40m30s",
        ),
    ],
)
def test_what_decides_where_costs_tie(asked: Request, there: Any, on: str, why: str) -> None:
    choice = chosen(asked, cluster(there))
    assert choice.best.places == on
    assert why in [lost.why for lost in choice.alternatives]


def test_what_is_there_before_what_is_to_come_where_costs_tie() -> None:
    for there, to_come in (("Swift", "Large"), ("Large", "Swift")):
        choice = chosen(request(), cluster({there: [1]}, appears={to_come: Appears(1, 1)}))
        assert choice.best.places == f"1x {there}"
    dearer = chosen(request(), cluster({"Swift": [1]}, appears={"Large": Appears(1, 1)}))
    assert dearer.alternatives[0].why == "costs about the same ($4.05), and a node is to be added"


def test_the_nearest_of_what_is_too_small() -> None:
    choice = chosen(request("full"), cluster({"Large": [2], "Medium": [4]}))
    assert [(lost.option.places, lost.why) for lost in choice.alternatives][:2] == [
        ("4x Medium", "1.0 GiB too little: needs 25.0 of 24.0 GiB"),
        ("1x Large", "17.0 GiB too little: needs 97.0 of 80.0 GiB"),
    ]


def test_nodes_of_no_known_kind_are_told_up_to_three() -> None:
    unknown = tuple(UnknownAccelerator(f"node-{number}", "nvidia.com/gpu", "label", "Z") for number in range(5))
    notes = chosen(request(), replace(cluster({"Large": [1]}), unknown=unknown)).notes
    assert [note.split()[1] for note in notes] == ["node-0", "node-1", "node-2"]


def test_eight_bits_where_what_adamw_needs_is_taken() -> None:
    notes = chosen(request("full", training=IN_FP32), cluster({"Large": [(2, 1)]})).notes
    assert notes == ("the optimizer is adamw8bit: nothing that is free is large enough for adamw",)


def test_alternatives() -> None:
    choice = chosen(request("lora"), cluster({"Small": [(2, 0)], "Medium": [8], "Large": [8]}))
    assert choice.best.places == "1x Medium"
    assert [(lost.option.places, lost.why) for lost in choice.alternatives] == [
        ("2x Small", "taken: small-1 has 0 of 2 free"),
        ("1x Large", "costs $4.05 instead of $3.30"),
        ("1x Small", "7.0 GiB too little: needs 17.0 of 10.0 GiB"),
    ]


def test_alternatives_that_break_a_limit() -> None:
    there = cluster({"Medium": [1], "Large": [1]})
    choice = chosen(request("lora", resources={"maxDurationSeconds": 7200}), there)
    assert [(lost.option.places, lost.why) for lost in choice.alternatives] == [
        ("1x Medium", "takes 3h18m, over resources.maxDurationSeconds")
    ]
    choice = chosen(request("lora", resources={"maxCostUSD": 4}), there)
    assert [(lost.option.places, lost.why) for lost in choice.alternatives] == [
        ("1x Large", "costs $4.05, over resources.maxCostUSD")
    ]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            request("lora", training={"packing": True, "microBatchSize": 4}),
            "training.microBatchSize 4 is taken as 1: packs go one by one without a flash kernel",
        ),
        (
            request("lora", training={"microBatchSize": 5}),
            "training.microBatchSize 5 is taken as 4: it must divide each one's share",
        ),
        (
            request("full", training=IN_FP32),
            "the optimizer is adamw8bit: nothing that is free is large enough for adamw",
        ),
    ],
)
def test_notes(asked: Request, says: str) -> None:
    assert says in chosen(asked, cluster({"Large": [1]})).notes


def test_a_cpu_that_nobody_asked_for() -> None:
    assert chosen(request("lora"), cluster({})).notes == (
        "there is no accelerator, so it runs on CPUs; resources.accelerator names a kind to wait for",
    )
    assert not chosen(request("lora", resources={"accelerator": "cpu"}), cluster({})).notes


def test_where_there_is_nothing_that_the_trainer_is_built_for() -> None:
    there = cluster({"Foreign": [1]})
    said = "Foreign: it needs a trainer's image of its own; ours is made for CUDA"
    assert chosen(request("lora"), there).notes == (said,)
    assert not chosen(request("lora", resources={"accelerator": "Foreign"}), there).notes


def test_examples_that_would_see_each_other_are_not_packed() -> None:
    asked = replace(request(training={"packing": None}), architecture=replace(ARCHITECTURE, recurrent=True))
    choice = chosen(asked, cluster({"Large": [1]}))
    assert not asked.packed
    assert choice.notes == ("examples are not packed: the model's layers would carry a state from one to the next",)
