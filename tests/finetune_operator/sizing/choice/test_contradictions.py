"""What cannot be whatever there is: kinds that are not known, and settings that contradict each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finetune_operator.sizing.choice.choose import choose
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.hardware import builtin
from tests.finetune_operator.sizing.choice.places import ALL, chosen, cluster, refused
from tests.finetune_operator.sizing.choice.plain import ARCHITECTURE, request


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ("a100", "A100-40GB, A100-40GB-PCIe, A100-80GB-PCIe, A100-80GB"),
        ("3090", "RTX-3090"),
        ("A100-41GB", "A100-40GB, A100-80GB, A100-40GB-PCIe"),
        ("MIG-4g.71", "H200-MIG-4g.71gb, H200-MIG-4g.71gb-single"),
    ],
)
def test_a_kind_that_is_called_otherwise(wrong: str, names: str) -> None:
    with pytest.raises(SizingError) as error:
        choose(request(resources={"accelerator": wrong}), ALL, builtin())
    assert str(error.value) == f'spec.resources.accelerator: there is no kind "{wrong}"; there are {names}'


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            request(resources={"accelerator": "X"}),
            'spec.resources.accelerator: there is no kind "X"; there are Small, Medium, Large, Swift, ',
        ),
        (
            request(resources={"accelerator": "Large", "count": 0}),
            "0 means no accelerator, and Large is one; use 1, or",
        ),
        (request(resources={"accelerator": "cpu", "count": 2}), "count: 2 is for accelerators, and a CPU run has"),
        (
            request(resources={"count": 0}, training={"sharding": "ddp"}),
            "ddp is for several accelerators, and a CPU run",
        ),
        (
            replace(request(training={"packing": True}), architecture=replace(ARCHITECTURE, recurrent=True)),
            "spec.training.packing: true can't be, because layers of llama carry a state from one example of a pack",
        ),
        (request(resources={"nodes": 2}), "spec.resources.nodes: at most 1 can be used; lower it"),
        (request(resources={"count": 3}), "16 examples per step can't be shared evenly by 3 accelerators; use 2, or "),
        (request(resources={"count": 3}), "training.effectiveBatchSize: 18"),
        (
            request(resources={"count": 32}, training={"packing": True}),
            "16 examples per step can't be shared evenly by",
        ),
        (
            request(resources={"count": 4}, training={"sharding": "none"}),
            "none is for one accelerator, and 4 are asked",
        ),
        (
            request(resources={"count": 1}, training={"sharding": "ddp"}),
            "ddp is for several accelerators, and 1 is ask",
        ),
        (
            request(training={"sharding": "fsdp", "optimizer": "adamw8bit"}),
            "spec.training.optimizer: adamw8bit is bitsandbytes', which can't update weights that are sharded",
        ),
        (
            request(training={"maxSequenceLength": 8192}),
            "8192 tokens, but the model has 4096 positions; ask for no more",
        ),
        (
            request(training={"attention": "flashAttention2", "precision": "fp32"}),
            "spec.training.attention: flashAttention2 needs half precision; leave precision out",
        ),
        (
            request(training={"precision": "bf16"}, resources={"accelerator": "Small"}),
            "spec.training.precision: Small has no bfloat16; use fp16 or leave it out",
        ),
        (
            request(training={"precision": "fp16"}, resources={"accelerator": "cpu"}),
            "spec.training.precision: fp16 needs a GPU; use fp32 or bf16 on CPUs",
        ),
        (
            request(training={"attention": "flashAttention2"}, resources={"accelerator": "Small"}),
            "flashAttention2 needs a GPU of compute capability 8.0 or more, and Small is none",
        ),
        (request(training={"attention": "flashAttention3"}), "flashAttention3 needs a Hopper GPU, and Medium is none"),
        (
            request(training={"attention": "flex"}, resources={"accelerator": "cpu"}),
            "spec.training.attention: flex needs a GPU",
        ),
    ],
)
def test_contradictions(asked: Request, says: str) -> None:
    assert says in refused(asked, ALL)


def test_hopper_gpus_take_flash_attention_3() -> None:
    asked = request(training={"attention": "flashAttention3"})
    takes = [row.name for row in builtin() if row.resource and "-MIG-" not in row.name and not asked.objection(row)]
    assert takes == ["H100-PCIe", "H100-80GB", "H100-NVL", "H20", "H200-NVL", "H200"]


def test_packs_can_be_shared_by_any_number_that_has_an_example_each() -> None:
    asked = request("qlora", training={"packing": True}, resources={"count": 3, "accelerator": "Medium"})
    assert chosen(asked, ALL).best.places == "3x Medium"


def test_two_nodes_share_a_step_evenly_too() -> None:
    """Of 3 examples, one on each of two nodes can't be."""
    asked = request(
        "full", training={"effectiveBatchSize": 3, "optimizer": "adamw"}, resources={"count": 1}, max_nodes=2
    )
    assert "needs 97.0 GiB per GPU" in refused(asked, cluster({"Large": [1, 1]}))
