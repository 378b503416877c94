"""A run on CPUs and the memory of the nodes that there are."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from finetune_api.job import FineTuneJob
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.cluster.demand import demand
from finetune_operator.sizing.cluster.inventory import host_bytes
from finetune_operator.sizing.cluster.offers import available
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import builtin
from finetune_operator.sizing.job import size
from finetune_operator.sizing.known import model_facts
from tests.finetune_operator.sizing.cluster.objects import GPU_TAINT, TAINT, Object, node

CPUS = "there is no accelerator, so it runs on CPUs; resources.accelerator names a kind to wait for"
WAITS = r"it needs \d\d GiB of host memory, and the largest node has 62.0 GiB; the job waits until one has as much"


def plain(memory: str, **more: Any) -> Object:
    """A node without accelerators."""
    return node(product=None, gpus=0, allocatable={"memory": memory}, **more)


@pytest.mark.parametrize(
    ("nodes", "gib"),
    [
        ([], None),
        ([plain("62Gi"), plain("30Gi")], 62),
        ([plain("62Gi", taints=[TAINT]), plain("30Gi")], 30),
        ([plain("62Gi", taints=[GPU_TAINT]), plain("30Gi")], 30),  # the pod of a CPU run does not tolerate it
        ([plain("62Gi", cordoned=True), plain("30Gi")], 62),  # it will be open again
        ([{"metadata": {"name": "a"}, "status": {"allocatable": {"nvidia.com/gpu": "1"}}}], None),
    ],
)
def test_the_largest_node(nodes: list[Object], gib: int | None) -> None:
    assert host_bytes(nodes, demand(None)) == (None if gib is None else gib * 2**30)


def notes(model: str, resources: dict[str, Any], nodes: list[Object]) -> list[str]:
    """Of lora."""
    job = FineTuneJob.model_validate(
        {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "it"},
            "spec": {
                "model": {"source": f"hf://{model}"},
                "method": "lora",
                "dataset": {"train": {"source": "hf://a/b"}},
                "resources": resources,
            },
        }
    )
    wanted = demand(None, requests={"memory": Decimal(2**30)})
    sized = size(
        job,
        model=model_facts(job.spec.model, config=None),
        data=DataFacts(),
        available=available(nodes, {}, wanted, builtin()),
        table=builtin(),
        today=date(2026, 1, 1),
    )
    return sized.sizing.notes or []


@pytest.mark.parametrize(
    ("model", "resources", "said"),
    [
        ("HuggingFaceTB/SmolLM2-135M", {}, [CPUS]),
        ("HuggingFaceTB/SmolLM2-135M", {"accelerator": "cpu"}, []),
        ("meta-llama/Llama-3.1-8B", {"accelerator": "cpu"}, [WAITS]),
        ("meta-llama/Llama-3.1-8B", {"count": 0}, [WAITS]),
        ("meta-llama/Llama-3.1-8B", {"memory": "60Gi"}, [CPUS]),  # who says how much is taken at their word
    ],
)
def test_what_is_said_of_host_memory(model: str, resources: dict[str, Any], said: list[str]) -> None:
    found = notes(model, resources, [plain("62Gi")])
    assert len(found) == len(said)
    assert all(map(re.fullmatch, said, found))


def test_nothing_has_memory_for_what_nobody_asked_for() -> None:
    says = (
        r"there is no accelerator, and on CPUs lora of 8\.0B parameters needs \d\d GiB of host memory, and the largest "
        r"node has 62\.0 GiB; name a kind in spec\.resources\.accelerator to wait for it, or cpu to wait for such a "
        "node"
    )
    with pytest.raises(SizingError, match=f"^{says}$"):
        notes("meta-llama/Llama-3.1-8B", {}, [plain("62Gi")])
    assert notes("meta-llama/Llama-3.1-8B", {}, []) == [CPUS], "of no node is anything known"
