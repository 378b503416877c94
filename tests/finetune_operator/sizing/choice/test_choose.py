"""What is chosen: the policies, case by case, on figures that can be worked out in the head (see `plain`)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from finetune_operator.sizing.choice import rank
from finetune_operator.sizing.choice.arithmetic import Arithmetic
from finetune_operator.sizing.choice.choose import choose
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.cluster.offer import Appears, Availability, Offer, Place, Share
from finetune_operator.sizing.cluster.offers import Available, of_whole_table
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import Table, builtin
from tests.finetune_operator.sizing.choice.places import ALL, chosen, cluster
from tests.finetune_operator.sizing.choice.plain import LARGE, TABLE, estimate, host_memory, predict, request, row

FULL_8BIT = {"optimizer": "adamw8bit"}
IN_FP32 = {"precision": "fp32"}
PACKED = {"packing": True}


def taken(asked: Request, there: Available) -> str:
    """What it runs on, such as `2x Large`, or `CPU`."""
    return chosen(asked, there).best.places


@pytest.mark.parametrize(
    ("asked", "there", "on"),
    [
        # money for a unit of speed: Small 0.5, Medium 1, Large 1.33; the cheapest that fits
        (request("qlora"), ALL, "1x Small"),
        (request("lora"), ALL, "4x Small"),  # sharded, each has 4 of weights and room for a sequence
        (request("lora"), cluster({"Small": [2], "Medium": [8]}), "2x Small"),
        (request("lora"), cluster({"Medium": [8], "Large": [8]}), "1x Medium"),
        (request("full"), cluster({"Medium": [8], "Large": [8]}), "8x Medium"),  # 96/8 sharded
        (request("full", training=IN_FP32), cluster({"Large": [8]}), "1x Large"),  # in 8 bits: 48 of 80
        (request("full", training={"optimizer": "adamw"}), cluster({"Large": [8]}), "2x Large"),
        # what is asked for is kept
        (request("qlora", resources={"accelerator": "Large"}), ALL, "1x Large"),
        (request("qlora", resources={"accelerator": "large"}), ALL, "1x Large"),
        (request("qlora", resources={"count": 4}), ALL, "4x Small"),
        (request("qlora", training={"sharding": "fsdp"}), cluster({"Small": [2]}), "2x Small"),
        (request("qlora", training={"sharding": "none"}), ALL, "1x Small"),
        (request("lora", training={"sharding": "ddp"}), ALL, "2x Medium"),
        (request("qlora", training={"precision": "bf16"}), ALL, "1x Medium"),  # Small has none
        (request("qlora", training={"attention": "flashAttention2"}), ALL, "1x Medium"),
        # the CPU is for those who ask, and where there is nothing else
        (request("qlora", resources={"accelerator": "cpu"}), ALL, "CPU"),
        (request("qlora", resources={"count": 0}), ALL, "CPU"),
        (request("qlora", resources={"accelerator": "cpu", "count": 1}), ALL, "CPU"),
        (request("full"), cluster({}), "CPU"),
        # a kind of which nothing is known is for those who ask, and where there is nothing else
        (request("lora"), cluster({"nvidia-gpu": [8], "Large": [8]}), "1x Large"),
        (request("lora"), cluster({"nvidia-gpu": [8]}), "1x nvidia-gpu"),
        (request("lora", resources={"accelerator": "nvidia-gpu"}), ALL, "1x nvidia-gpu"),
        # and so is one that the trainer's image has no code for; what may run comes before what won't
        (request("full"), cluster({"Foreign": [8], "Large": [8]}), "2x Large"),
        (request("lora"), cluster({"Foreign": [8], "nvidia-gpu": [8]}), "1x nvidia-gpu"),
        (request("lora"), cluster({"Foreign": [8]}), "1x Foreign"),
        (request("lora", resources={"accelerator": "Foreign"}), ALL, "1x Foreign"),
        # slices that nothing connects are not combined, asked or not
        (request("lora", resources={"count": 2}), cluster({"Slice": [7], "Medium": [8]}), "2x Medium"),
        (request("lora"), cluster({"Slice": [7], "Large": [8]}), "1x Slice"),
        (request("full", training=IN_FP32), cluster({"Slice": [7], "Large": [8]}), "1x Large"),
        # a step's examples are shared evenly
        (request("lora", training={"effectiveBatchSize": 6}), cluster({"Small": [4]}), "3x Small"),
        (request("full", training={"effectiveBatchSize": 12}), cluster({"Medium": [8]}), "6x Medium"),
        (request("full", training={"effectiveBatchSize": 13, **FULL_8BIT}), ALL, "1x Large"),
    ],
)
def test_what_it_runs_on(asked: Request, there: Available, on: str) -> None:
    assert taken(asked, there) == on


@pytest.mark.parametrize(
    ("there", "on", "waits_for"),
    [
        (cluster({"Small": [8], "Large": [8]}), "1x Small", None),
        # free now before cheap
        (cluster({"Small": [(8, 0)], "Large": [(8, 1)]}), "1x Large", None),
        # nothing is free: the cheapest of what there is
        (cluster({"Small": [(8, 0)], "Large": [(8, 0)]}), "1x Small", "1x Small: small-1 has 0 of 8 free"),
        (
            cluster({"Small": [(8, 0), (4, 0)]}),
            "1x Small",
            "1x Small: small-1 has 0 of 8 free, small-2 has 0 of 4 free",
        ),
        # a node that is added needs nobody to give anything back
        (cluster({"Small": [(8, 0)]}, appears={"Large": Appears(8, 4)}), "1x Large", "1x Large: a node is to be added"),
        (
            cluster({"Small": [8]}, shares={"Small": Share("queue team-a", 4, 0, "nominal quota 4")}),
            "1x Small",
            "1x Small: queue team-a has 0 of 4 left (nominal quota 4)",
        ),
    ],
)
def test_free_now_or_a_queue(there: Available, on: str, waits_for: str | None) -> None:
    best = chosen(request("qlora"), there).best
    assert (best.places, best.waits_for) == (on, waits_for)
    assert best.free_now is (waits_for is None)


def test_a_kind_that_no_node_has_is_waited_for_if_it_is_named() -> None:
    choice = chosen(request("qlora", resources={"accelerator": "Large"}), cluster({"Small": [8]}))
    assert choice.best.availability == Availability.TAKEN
    assert choice.best.waits_for == "1x Large: no node has one"
    assert "no node has Large; the job waits until one does" in choice.notes


@pytest.mark.parametrize(
    ("resources", "on"),
    [
        ({}, "1x Medium"),  # 3.2 h, $3.20
        ({"maxDurationSeconds": 3 * 3600}, "2x Medium"),
        ({"maxDurationSeconds": 3600}, "4x Medium"),
        ({"maxDurationSeconds": 1200}, "4x Large"),
        ({"maxDurationSeconds": 3600, "maxCostUSD": 3.7}, "4x Medium"),
        ({"maxCostUSD": 1.0, "spot": True}, "1x Medium"),
        ({"maxCostUSD": 1.0, "priceUSDPerHour": 0.1}, "1x Large"),  # all kinds cost the same: speed decides
    ],
)
def test_limits(resources: dict[str, Any], on: str) -> None:
    assert taken(request("lora", resources=resources), cluster({"Medium": [8], "Large": [8]})) == on


@pytest.mark.parametrize(
    ("method", "training", "micro", "checkpointing", "accumulation"),
    [
        ("lora", {}, 16, False, 1),  # on Large: 16 + 4 x 16 = 80
        ("lora", {"effectiveBatchSize": 32}, 16, False, 2),
        ("lora", {"effectiveBatchSize": 20}, 10, False, 2),
        ("lora", {"microBatchSize": 2}, 2, False, 8),
        ("lora", {"microBatchSize": 5}, 4, False, 4),  # the trainer takes the largest divisor
        ("lora", {"gradientCheckpointing": True}, 16, True, 1),
        ("lora", PACKED, 1, False, 16),  # packs go alone without a flash kernel
        ("lora", {**PACKED, "microBatchSize": 2}, 1, False, 16),
        ("lora", {**PACKED, "attention": "flashAttention2"}, 16, False, 1),
        ("full", FULL_8BIT, 8, False, 2),
        ("full", {**FULL_8BIT, "gradientCheckpointing": True}, 16, True, 1),
    ],
)
def test_the_batch(method: str, training: dict[str, Any], micro: int, checkpointing: bool, accumulation: int) -> None:
    setup = chosen(request(method, training=training, resources={"accelerator": "Large", "count": 1}), ALL).best.setup
    assert (setup.micro_batch_size, setup.gradient_checkpointing, setup.accumulation) == (
        micro,
        checkpointing,
        accumulation,
    )


@pytest.mark.parametrize(("asked", "told"), [(None, 1), (2, 2), (64, 64)])
def test_the_trainer_is_told_what_was_asked_for(asked: int | None, told: int) -> None:
    """It may have a flash kernel after all, and then packs go together."""
    training = {"packing": True, "microBatchSize": asked}
    assert chosen(request("qlora", training=training), ALL).best.micro_batch_size == told


def test_checkpointing_only_where_it_is_needed() -> None:
    """One sequence without it takes 22 of 24 GiB and is faster than 8 with it; with 20 GiB there is no choice."""
    asked = request("lora", training={"effectiveBatchSize": 1})
    assert chosen(asked, cluster({"Medium": [1]})).best.setup.gradient_checkpointing is False
    assert chosen(asked, cluster({"Slice": [1]})).best.setup.gradient_checkpointing is False
    short = request("lora", training={"maxSequenceLength": 4096, "effectiveBatchSize": 1})
    assert chosen(short, cluster({"Slice": [1]})).best.setup.gradient_checkpointing is True


@pytest.mark.parametrize(
    ("there", "optimizer", "on"),
    [
        # 8 bits on one are cheaper than 64 GiB of states sharded over two, by more than a tenth
        (cluster({"Large": [8]}), "adamw8bit", "1x Large"),
        # only paged states leave room on a 40 GiB accelerator, and only where nothing else will do
        (cluster({"Unpriced": [1]}), "pagedAdamw8bit", "1x Unpriced"),
        (cluster({"Unpriced": [1], "Large": [(1, 0)]}), "adamw8bit", "1x Large"),
    ],
)
def test_the_optimizer(there: Available, optimizer: str, on: str) -> None:
    best = chosen(request("full", training=IN_FP32), there).best
    assert (best.setup.optimizer, best.places) == (optimizer, on)


def test_adamw_before_eight_bits_where_costs_tie() -> None:
    """On one Huge, 5% dearer than a Large, its states are not rounded."""
    huge = row("Huge", 120, 300, 4.2)
    there = Available(tuple(Offer(kind, (Place(kind.name, 1, 1),)) for kind in (LARGE, huge)))
    best = chosen(request("full", training=IN_FP32), there).best
    assert (best.places, best.setup.optimizer) == ("1x Huge", "adamw")


@pytest.mark.parametrize(
    ("method", "count", "sharding", "micro"),
    [("lora", 1, "none", 8), ("lora", 2, "ddp", 8), ("full", 2, "fsdp", 8), ("lora", 4, "ddp", 4)],
)
def test_where_no_memory_is_known(method: str, count: int, sharding: str, micro: int) -> None:
    """As little as is sensible: nothing tells whether it fits."""
    setup = chosen(request(method, resources={"count": count}), cluster({"nvidia-gpu": [8]})).best.setup
    assert (setup.sharding, setup.micro_batch_size, setup.optimizer) == (sharding, micro, "adamw")
    assert setup.gradient_checkpointing


def test_weights_in_bf16_are_not_rounded_to_the_nearest_unasked() -> None:
    """Only our adamw rounds them at random; with the others most small updates are lost."""
    best = chosen(request("full"), cluster({"Large": [8]})).best
    assert (best.setup.optimizer, best.places) == ("adamw", "2x Large")
    asked = chosen(request("full", training=FULL_8BIT), cluster({"Large": [8]})).best
    assert (asked.setup.optimizer, asked.places) == ("adamw8bit", "1x Large")


def test_adamw_where_it_costs_about_the_same() -> None:
    """With a tenth of the batch, 8 bits would only let a micro-batch grow."""
    assert chosen(request("lora"), ALL).best.setup.optimizer == "adamw"


@pytest.mark.parametrize(
    ("max_nodes", "there", "on"),
    [
        (4, cluster({"Large": [1, 1, 1, 1]}), "1x Large on each of 2 nodes"),
        (4, cluster({"Large": [2, 1, 1, 1]}), "2x Large"),  # one node can
        (4, cluster({"Large": [(1, 0), (1, 0)]}), "1x Large on each of 2 nodes"),
    ],
)
def test_several_nodes_only_where_one_cannot(max_nodes: int, there: Available, on: str) -> None:
    asked = request("full", training={"optimizer": "adamw"}, max_nodes=max_nodes)
    assert taken(asked, there) == on


def test_one_accelerator_on_each_of_several_nodes_can_be_shared() -> None:
    asked = request("full", training={"sharding": "fsdp"}, resources={"count": 1}, max_nodes=2)
    assert taken(asked, cluster({"Large": [1, 1]})) == "1x Large on each of 2 nodes"


def test_without_prices_the_smallest_that_fits() -> None:
    there = cluster({"Unpriced": [1], "Large": [1], "Medium": [1]})
    choice = chosen(request("lora"), there)
    assert choice.best.places == "1x Medium"
    assert "compared by memory and not by cost: no price is known of Unpriced" in choice.notes
    assert choice.best.cost_usd is not None


def test_what_would_have_to_be_bought_needs_a_price() -> None:
    sold = [offer for offer in of_whole_table(TABLE).offers if offer.hardware.name in ("Large", "Unpriced")]
    choice = chosen(request("lora", resources={"count": 1}), Available(tuple(sold)))
    assert choice.best.places == "1x Large"
    assert [lost.why for lost in choice.alternatives] == ["its price is not known"]
    assert not choice.notes


def test_without_tokens_by_price_and_speed() -> None:
    choice = chosen(request("lora", data=DataFacts()), cluster({"Medium": [1], "Large": [1]}))
    assert choice.best.places == "1x Medium"
    assert (choice.best.seconds, choice.best.cost_usd) == (None, None)
    assert [lost.why for lost in choice.alternatives] == ["costs about 1.2 times as much"]
    assert any("the number of training tokens is not known" in note for note in choice.notes)


def test_little_is_computed() -> None:
    """A choice is made whenever a job comes, and by `finetune plan`, which has half a second for everything."""
    calls: Counter[str] = Counter()

    def counted(name: str, function: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            calls[name] += 1
            return function(*args, **named)

        return call

    kinds = Table(tuple(row(f"Kind-{i}", 8.0 * i, 50.0 * i, 0.5 * i) for i in range(1, 13)))
    there = of_whole_table(kinds)
    arithmetic = Arithmetic(counted("memory", predict), counted("time", estimate), host_memory)
    choose(request("full", training={"packing": True}), there, kinds, arithmetic)
    choose(request("lora", training={"packing": True}), there, kinds, arithmetic)
    assert calls["memory"] < 2 * 50
    assert calls["time"] < 2 * 100


@pytest.mark.parametrize(
    ("kinds", "gigabytes"),
    [
        (("RTX-3060", "T4", "RTX-4080"), 16),
        (("L4", "A10G", "A5000", "RTX-3090", "RTX-4090"), 24),
        (("RTX-5090",), 32),
        (("A100-40GB", "H100-80GB-MIG-3g.40gb"), 40),
        (("A40", "L40S", "A6000"), 48),
        (("A100-80GB", "H100-80GB", "H100-PCIe"), 80),
        (("H100-NVL",), 96),
    ],
)
def test_kinds_of_one_size(kinds: tuple[str, ...], gigabytes: int) -> None:
    assert {rank.sold_as(builtin().row(kind)) for kind in kinds} == {gigabytes}
