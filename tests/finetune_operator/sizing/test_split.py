"""Which accelerator a job gets, and how its batch is cut."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.sizing import batch
from finetune_operator.sizing.split import halved, with_micro_batch
from tests.finetune_operator.children.jobs import job, sized
from tests.finetune_operator.reconcile.cluster import Cluster
from tests.finetune_operator.reconcile.objects import finetune_job, gpu_node

CPU_NODE: dict[str, Any] = {"metadata": {"name": "cpu"}, "status": {"allocatable": {"cpu": "8"}}}


@pytest.mark.parametrize(
    ("resources", "nodes", "accelerator", "count"),
    [
        ({"accelerator": "cpu"}, [gpu_node()], "cpu", 0),
        ({"accelerator": "cpu", "count": 1}, [], "cpu", 0),
        ({"accelerator": "L4"}, [], "L4", 1),  # it may be scaled up
        ({"accelerator": "a100-80gb"}, [], "A100-80GB", 1),
        ({"accelerator": "H100"}, [], "H100-80GB", 1),
        ({}, [], "cpu", 0),
        ({}, [CPU_NODE], "cpu", 0),
        ({}, [CPU_NODE, gpu_node("NVIDIA-L4")], "L4", 1),
        ({}, [gpu_node("NVIDIA-L4"), gpu_node("NVIDIA-H200")], "L4", 1),  # small jobs go to small GPUs
        ({}, [gpu_node("")], "nvidia-gpu", 1),  # no feature discovery runs there
        ({}, [gpu_node("NVIDIA-Z9000"), gpu_node("Tesla-T4")], "T4", 1),
        ({"count": 0}, [gpu_node()], "cpu", 0),
    ],
)
def test_the_accelerator(resources: dict[str, Any], nodes: list[Any], accelerator: str, count: int) -> None:
    cluster = Cluster(finetune_job(resources=resources), nodes=tuple(nodes))
    cluster.reconcile()
    sizing = (cluster.job or {})["status"]["sizing"]
    assert (sizing["accelerator"], sizing["count"]) == (accelerator, count)


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        ({"accelerator": "H9000"}, 'no kind "H9000"; there are '),
        ({"accelerator": "L4", "count": 0}, "L4 is one"),
        ({"maxCostUSD": 0.0001, "accelerator": "L4"}, "maxCostUSD"),
    ],
)
def test_what_does_not_exist_or_is_not_affordable(resources: dict[str, Any], says: str) -> None:
    cluster = Cluster(finetune_job(resources=resources))
    cluster.reconcile()
    assert cluster.phase() == "Failed"
    assert cluster.condition("Sized")["status"] == "False"
    assert says in cluster.condition("Sized")["message"]
    assert cluster.condition("Stalled")["status"] == "True"
    assert cluster.children == {}


def test_a_node_that_comes_later_changes_nothing() -> None:
    cluster = Cluster()
    cluster.reconcile()
    assert cluster.attempts()[0]["number"] == 1
    before = (cluster.job or {})["status"]["sizing"]
    cluster.nodes.append(gpu_node())
    cluster.reconcile()
    assert (cluster.job or {})["status"]["sizing"] == before


@pytest.mark.parametrize(
    ("training", "micro", "accumulation"),
    [
        ({}, 1, None),  # packs go alone, and the trainer counts examples
        ({"packing": False}, 8, 2),
        ({"packing": False, "effectiveBatchSize": 6}, 6, 1),
        ({"packing": False, "effectiveBatchSize": 18}, 6, 3),
        ({"packing": False, "effectiveBatchSize": 13}, 1, 13),
        ({"packing": False, "microBatchSize": 4}, 4, 4),
        ({"packing": False, "microBatchSize": 5}, 4, 4),  # always a divisor
        ({"packing": False, "microBatchSize": 64}, 16, 1),
        ({"packing": True, "microBatchSize": 2}, 2, None),
    ],
)
def test_the_batch(training: dict[str, Any], micro: int, accumulation: int | None) -> None:
    sizing = sized(job({"training": training}))
    assert (sizing.micro_batch_size, sizing.gradient_accumulation_steps) == (micro, accumulation)


@pytest.mark.parametrize(
    ("micro", "effective", "next_"), [(8, 16, 4), (6, 18, 3), (3, 18, 1), (2, 2, 1), (1, 16, None)]
)
def test_halved(micro: int, effective: int, next_: int | None) -> None:
    assert batch.halved(micro, effective=effective) == next_


def test_another_micro_batch_keeps_the_effective_one() -> None:
    of = job({"training": {"packing": False}})
    sizing = with_micro_batch(sized(of), 2, job=of)
    assert (sizing.micro_batch_size, sizing.gradient_accumulation_steps) == (2, 8)


def test_what_was_sized_without_packs_is_trained_without() -> None:
    """As of a model whose layers carry a state along the sequence: the job leaves it open, and sizing knew."""
    of = job({})
    alone = sized(of).model_copy(update={"micro_batch_size": 4, "gradient_accumulation_steps": 4})
    assert with_micro_batch(alone, 2, job=of).gradient_accumulation_steps == 8


@pytest.mark.parametrize(
    ("accelerator", "asked", "on"),
    [("cpu", None, False), ("L4", None, True), ("L4", False, False), ("cpu", True, True)],
)
def test_gradient_checkpointing(accelerator: str, asked: bool | None, on: bool) -> None:
    of = job({"resources": {"accelerator": accelerator}, "training": {"gradientCheckpointing": asked}})
    assert sized(of).gradient_checkpointing is on


@pytest.mark.parametrize(("count", "micro", "accumulation"), [(1, 2, 8), (2, 2, 4), (4, 2, 2), (8, 2, 1)])
def test_accelerators_share_a_step(count: int, micro: int, accumulation: int) -> None:
    of = job({"training": {"packing": False}})
    sizing = with_micro_batch(sized(of).model_copy(update={"count": count}), micro, job=of)
    assert sizing.gradient_accumulation_steps == accumulation
    assert halved(sizing, micro, job=of) == 1
