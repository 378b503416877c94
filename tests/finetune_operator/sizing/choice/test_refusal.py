"""What is said where nothing will do: the numbers, and what would."""

from __future__ import annotations

import pytest

from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.cluster.inventory import Excluded
from finetune_operator.sizing.cluster.offer import Share
from finetune_operator.sizing.cluster.offers import Available
from finetune_operator.sizing.facts import DataFacts
from tests.finetune_operator.sizing.choice.places import ALL, cluster, refused
from tests.finetune_operator.sizing.choice.plain import request

MEDIUM = cluster({"Medium": [1]})
UNKNOWN = DataFacts()


def test_too_large_with_every_term_and_what_fits() -> None:
    assert refused(request("full", training={"optimizer": "adamw", "gradientCheckpointing": True}), MEDIUM) == (
        "full fine-tuning of 8.0B parameters needs 97.0 GiB per GPU: optimizer 64.0, weights 16.0, gradients 16.0, "
        "activations 1.0; the largest here is Medium (24.0 GiB); asked for: optimizer adamw. "
        "Fits: qlora on 1x Medium (22.0 GiB), lora on 1x Medium (24.0 GiB)"
    )


@pytest.mark.parametrize(
    ("asked", "there", "says"),
    [
        (
            request("full", training={"precision": "fp32"}),
            MEDIUM,
            "needs 33.0 GiB per GPU, even with gradient checkpointing and pagedAdamw8bit: ",
        ),
        (
            request("full"),
            cluster({"Medium": [4]}),
            "needs 25.0 GiB per GPU on 4x Medium (fsdp), even with gradient ch",
        ),
        (
            # what shards is adamw, asked for or not
            request("full", training={"precision": "fp32", "sharding": "fsdp"}),
            cluster({"Medium": [4]}),
            "needs 25.0 GiB per GPU on 4x Medium (fsdp), even with gradient checkpointing: ",
        ),
        (
            request("full", resources={"accelerator": "Small"}),
            ALL,
            "; Small has 10.0 GiB; asked for: accelerator Small.",
        ),
        (
            request("lora", training={"precision": "bf16", "microBatchSize": 16}),
            cluster({"Small": [1], "Medium": [1]}),
            "Medium (24.0 GiB); spec.training.precision: Small has no bfloat16; use fp16 or leave it out; asked for",
        ),
        (
            request("lora"),
            cluster({"Small": [1], "nvidia-gpu": [1], "Foreign": [1]}),
            "the largest here is Small (10.0 GiB); nvidia-gpu is only for jobs that name it in resources.accelerator: "
            "its memory is not known; Foreign is only for jobs that name it in resources.accelerator: it needs a "
            "trainer's image of its own; ours is made for CUDA. Fits: qlora on 1x Small (10.0 GiB)",
        ),
    ],
)
def test_how_it_is_too_large(asked: Request, there: Available, says: str) -> None:
    assert says in refused(asked, there)


def test_four_suggestions_are_enough() -> None:
    """The fifth would be another kind."""
    training = {"microBatchSize": 16, "maxSequenceLength": 4096}
    said = refused(request("lora", training=training, resources={"accelerator": "Medium", "count": 1}), ALL)
    assert said.partition("Fits: ")[2] == (
        "lora on 8x Medium (fsdp) (18.0 GiB), lora without microBatchSize on 1x Medium (24.0 GiB), "
        "qlora on 1x Medium (22.0 GiB), lora with maxSequenceLength 1024 on 1x Medium (24.0 GiB)"
    )


@pytest.mark.parametrize(
    ("asked", "there", "fits"),
    [
        # settings of one's own are freed one by one
        (
            request("lora", training={"microBatchSize": 16, "gradientCheckpointing": True}),
            MEDIUM,
            "asked for: microBatchSize 16. Fits: lora without microBatchSize on 1x Medium (24.0 GiB), qlora on",
        ),
        (
            request("lora", training={"maxSequenceLength": 4096, "gradientCheckpointing": False}),
            cluster({"Slice": [1]}),
            "lora without gradientCheckpointing on 1x Slice (20.0 GiB)",
        ),
        (
            request("qlora", training={"gradientCheckpointing": False, "microBatchSize": 2}),
            cluster({"Small": [1]}),
            "qlora without microBatchSize and gradientCheckpointing on 1x Small (10.0 GiB)",
        ),
        # limits of money and time are no reason to say nothing
        (
            request("lora", resources={"maxDurationSeconds": 60, "maxCostUSD": 0.01}),
            cluster({"Small": [1]}),
            "Fits: qlora on 1x Small (10.0 GiB)",
        ),
        # more of them
        (request("lora", resources={"accelerator": "Small", "count": 1}), ALL, "lora on 4x Small (fsdp) (8.0 GiB)"),
        (request("full", resources={"count": 1}), cluster({"Medium": [8]}), "full on 8x Medium (fsdp) (20.0 GiB)"),
        # more of them, if a step had more examples to share
        (
            request("full", training={"effectiveBatchSize": 2}),
            cluster({"Medium": [8]}),
            "full with effectiveBatchSize 8 on 8x Medium (fsdp) (16.0 GiB)",
        ),
        # another kind
        (request("full", resources={"accelerator": "Small"}), ALL, "full on 8x Medium (fsdp) (20.0 GiB)"),
        # shorter sequences
        (
            request("lora", training={"maxSequenceLength": 4096, "microBatchSize": 8, "gradientCheckpointing": True}),
            MEDIUM,
            "lora with maxSequenceLength 2048 on 1x Medium (24.0 GiB)",
        ),
        # another method
        (request("lora"), cluster({"Small": [1]}), "Fits: qlora on 1x Small (10.0 GiB)"),
        (request("full"), MEDIUM, "Fits: qlora on 1x Medium (22.0 GiB), lora on 1x Medium (24.0 GiB)"),
        # none of it: what the table has
        (
            request(
                "qlora", training={"microBatchSize": 1, "maxSequenceLength": 4096}, resources={"accelerator": "Tiny"}
            ),
            cluster({"Tiny": [1]}),
            "Nothing here fits it; the cheapest that would is 1x Small (10.0 of 10.0 GiB)",
        ),
        # nor is anybody sent to what the trainer is not built for, of which one Foreign would do
        (
            request("full", training={"effectiveBatchSize": 1}),
            cluster({"Tiny": [1]}),
            "Nothing in the hardware table fits it on one node",
        ),
    ],
)
def test_what_would_fit_is_searched_for(asked: Request, there: Available, fits: str) -> None:
    assert fits in refused(asked, there)


@pytest.mark.parametrize(
    ("asked", "there", "says"),
    [
        (
            request("lora", resources={"maxCostUSD": 1}),
            MEDIUM,
            "spec.resources.maxCostUSD: the cheapest plan costs $3.30, in 3h18m (1x Medium), and $1.00 is allowed; "
            "with resources.spot: true it would cost $0.85, in 3h18m (1x Medium)",
        ),
        (
            request("lora", resources={"maxCostUSD": 0.5}),
            MEDIUM,
            "spec.resources.maxCostUSD: the cheapest plan costs $3.30, in 3h18m (1x Medium), and $0.50 is allowed",
        ),
        (
            request("lora", resources={"maxDurationSeconds": 100}),
            ALL,
            "spec.resources.maxDurationSeconds: the fastest plan takes 9m5s, for $4.84 (8x Large), and 1m40s is "
            "allowed",
        ),
        (
            request("lora", resources={"maxDurationSeconds": 1000, "maxCostUSD": 3}),
            ALL,
            "spec.resources: no plan meets both limits: the cheapest costs $1.98, in 59m24s (8x Small), the fastest "
            "takes 9m5s, for $4.84 (8x Large); raise maxCostUSD or maxDurationSeconds",
        ),
        (
            request("lora", resources={"maxCostUSD": 3}),
            cluster({"Unpriced": [1]}),
            "spec.resources.maxCostUSD: no price of Unpriced is known, so no cost is; set resources.priceUSDPerHour",
        ),
        (
            request("lora", resources={"accelerator": "Large", "maxCostUSD": 4}),
            ALL,
            "spec.resources.maxCostUSD: the cheapest plan costs $4.05, in 1h (1x Large), and $4.00 is allowed; without "
            "resources.accelerator it would cost $2.16, in 2h9m (4x Small)",
        ),
        (
            request("lora", resources={"accelerator": "cpu", "maxDurationSeconds": 3600}),
            ALL,
            "spec.resources.maxDurationSeconds: the speed of cpu is not known, so neither time nor cost is; remove it "
            "(activeDeadlineSeconds stops a run that takes too long)",
        ),
        (
            request("lora", resources={"maxCostUSD": 3, "spot": True}),
            cluster({"Unpriced": [1]}),
            "spec.resources.maxCostUSD: no spot price of Unpriced is known, so no cost is; set "
            "resources.priceUSDPerHour",
        ),
        (
            request("lora", resources={"maxCostUSD": 3}, data=UNKNOWN),
            ALL,
            "spec.resources.maxCostUSD: the number of training tokens is not known, so neither time nor cost is; "
            "remove it (activeDeadlineSeconds stops a run that takes too long)",
        ),
        (
            request("lora", resources={"maxDurationSeconds": 3}, data=UNKNOWN),
            ALL,
            "spec.resources.maxDurationSeconds: the number of training tokens is not known, so neither time nor cost "
            "is; remove it (activeDeadlineSeconds stops a run that takes too long)",
        ),
    ],
)
def test_limits(asked: Request, there: Available, says: str) -> None:
    assert refused(asked, there) == says


QUEUED = cluster({"Medium": [8]}, shares={"Medium": Share("queue a", 4, 4, "flavour m, nominal quota 4")})


@pytest.mark.parametrize(
    ("asked", "there", "says"),
    [
        (
            request(resources={"count": 8}),
            cluster({"Medium": [4]}),
            "spec.resources.count: 8 accelerators can never be had: Medium: no node has more than 4",
        ),
        (
            request(resources={"count": 8}),
            QUEUED,
            "spec.resources.count: 8 accelerators can never be had: Medium: queue a can never give more than 4 "
            "(flavour m, nominal quota 4)",
        ),
        (
            request(resources={"count": 2}),
            cluster({"Medium": [1], "Slice": [7]}),
            "spec.resources.count: 2 accelerators can never be had: Medium: no node has more than 1; "
            "spec.resources.count: Slice is a slice of a GPU, and a process sees only one; use 1",
        ),
        (
            request(resources={"count": 2}),
            cluster({"Slice": [7]}),
            "spec.resources.count: Slice is a slice of a GPU, and a process sees only one; use 1",
        ),
        (
            request(resources={"count": 1, "nodes": 2}, max_nodes=2),
            MEDIUM,
            "spec.resources.count: 1 accelerators on each of 2 nodes can never be had: Medium: there are not 2 such "
            "nodes",
        ),
        (
            request(training={"sharding": "fsdp"}),
            MEDIUM,
            "spec.training.sharding: fsdp is for several accelerators, and 2 can never be had: Medium: no node has "
            "more than 1",
        ),
        (
            request("full", training={"optimizer": "adamw"}),
            QUEUED,  # 8 would do
            "full fine-tuning of 8.0B parameters needs 25.0 GiB per GPU on 4x Medium (fsdp), even with gradient "
            "checkpointing: optimizer 16.0, weights 4.0, gradients 4.0, activations 1.0; the largest here is Medium "
            "(24.0 GiB); asked for: optimizer adamw. Fits: qlora on 1x Medium (22.0 GiB), lora on 1x Medium (24.0 GiB)",
        ),
        (
            request(),
            Available((), excluded=(Excluded("gpu-1", "Medium", "its taint a:NoSchedule is not tolerated"),)),
            "no node with an accelerator can run this job's pods: gpu-1 (Medium): its taint a:NoSchedule is not "
            "tolerated; change podTemplate or resources, or set resources.accelerator: cpu",
        ),
        (
            request(resources={"accelerator": "Medium"}),
            Available((), excluded=(Excluded("gpu-1", "Medium", "its taint a:NoSchedule is not tolerated"),)),
            "no node with Medium can run this job's pods: gpu-1 (Medium): its taint a:NoSchedule is not tolerated; "
            "change podTemplate or resources",
        ),
    ],
)
def test_what_can_never_be_had(asked: Request, there: Available, says: str) -> None:
    assert refused(asked, there) == says
