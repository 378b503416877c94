"""What a user leaves out is what the documentation of the field promises."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.contract import TrainerConfig
from finetune_api.schema import Sharding
from finetune_api.status import Sizing
from finetune_operator.reconcile.resolve import Paths, paths_in_cluster, trainer_config
from tests.finetune_operator.children.jobs import job, sized

RUN = Paths(work_dir="/tmp/run", port=0, claims={}, output_uri="file:///tmp/run/output")


def config(changes: dict[str, Any], *, paths: Paths | None = None) -> TrainerConfig:
    of = job(changes)
    sizing = sized(of)
    return trainer_config(of, paths=paths or paths_in_cluster(of), sizing=sizing, attempt=1, micro_batch_size=1)


def test_defaults() -> None:
    found = config({})
    training = found.training
    assert (training.epochs, training.learning_rate, training.effective_batch_size) == (3, 2e-4, 16)
    assert (training.packing, training.scheduler, training.warmup_ratio, training.warmup_steps) == (
        True,
        "cosine",
        0.03,
        None,
    )
    assert (training.optimizer, training.weight_decay, training.max_grad_norm, training.seed) == ("adamw", 0, 1, 42)
    assert training.max_sequence_length is None
    assert found.adapter is not None
    assert (found.adapter.rank, found.adapter.alpha, found.adapter.dropout) == (16, 32, None)
    assert found.adapter.target_modules == ["all-linear"]
    assert (found.checkpoint.interval_seconds, found.checkpoint.keep) == (600, 2)
    assert (found.dataset.train_on, found.dataset.overlong, found.dataset.empty_responses) == (
        "responses",
        "truncate",
        "fail",
    )
    assert found.model.source.revision == "main"
    assert found.model.trust_remote_code is False
    assert found.accelerator == "cpu"


@pytest.mark.parametrize(
    ("changes", "path", "value"),
    [
        ({"method": "full"}, "training.learning_rate", 2e-5),
        ({"method": "full"}, "adapter", None),
        ({"method": "qlora"}, "training.learning_rate", 2e-4),
        ({"adapter": {"rank": 4}}, "adapter.alpha", 8),
        ({"adapter": {"rank": 4, "alpha": 5}}, "adapter.alpha", 5),
        ({"adapter": {"dropout": 0}}, "adapter.dropout", 0),
        ({"training": {"warmupSteps": 0}}, "training.warmup_ratio", None),
        ({"training": {"warmupRatio": 0}}, "training.warmup_ratio", 0),
        ({"training": {"packing": False}}, "training.packing", False),
        ({"training": {"seed": 0}}, "training.seed", 0),
        ({"training": {}}, "training.loss_kernel", None),
        ({"training": {"lossKernel": "eager"}}, "training.loss_kernel", "eager"),
        ({"resources": {"accelerator": "T4"}}, "accelerator", "gpu"),
        ({"resources": {"accelerator": "T4"}}, "training.gradient_checkpointing", True),
        ({"model": {"source": "pvc://models/llama"}}, "model.source.path", "/sources/models/llama"),
        ({"model": {"source": "pvc://models"}}, "model.source.path", "/sources/models"),
        ({"dataset": {"train": {"source": "hf://org/rows"}}}, "dataset.train.split", "train"),
        ({"dataset": {"train": {"source": "pvc://data/x.jsonl"}}}, "dataset.train.split", None),
        ({"dataset": {"validation": {"source": "hf://org/rows"}}}, "dataset.validation.split", "validation"),
        ({"dataset": {"validation": {"fraction": 0.1}}}, "dataset.validation", None),
        ({"dataset": {"validation": {"fraction": 0.1}}}, "dataset.validation_fraction", 0.1),
    ],
)
def test_a_field(changes: dict[str, Any], path: str, value: object) -> None:
    found: Any = config(changes)
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("count", "sharding", "processes", "told"),
    [
        (0, None, 1, "none"),
        (1, None, 1, "none"),
        (1, "none", 1, "none"),
        (2, "ddp", 2, "ddp"),
        (8, "fsdp", 8, "fsdp"),
        # as an operator before this one sized it
        (4, None, 4, "ddp"),
    ],
)
def test_how_the_processes_share_the_work(count: int, sharding: Sharding | None, processes: int, told: str) -> None:
    sizing = Sizing(accelerator="A100-80GB", count=count, nodes=1, sharding=sharding)
    found = trainer_config(job({}), paths=paths_in_cluster(job({})), sizing=sizing, attempt=1, micro_batch_size=1)
    assert (found.processes, found.training.sharding) == (processes, told)


@pytest.mark.parametrize(("asked", "steps", "packed"), [(None, None, True), (None, 4, False), (False, 4, False)])
def test_packed_as_it_was_sized(asked: bool | None, steps: int | None, packed: bool) -> None:
    of = job({"training": {"packing": asked}})
    sizing = sized(of).model_copy(update={"gradient_accumulation_steps": steps})
    found = trainer_config(of, paths=paths_in_cluster(of), sizing=sizing, attempt=1, micro_batch_size=1)
    assert found.training.packing is packed


def test_without_a_cluster_paths_are_given() -> None:
    changes = {"model": {"source": "file:///models/x"}, "dataset": {"train": {"source": "file:///data/x.jsonl"}}}
    found = config(changes, paths=RUN)
    assert found.model.source.path == "/models/x"
    assert found.work_dir == "/tmp/run"
    assert found.port == 0
    assert found.output.uri == "file:///tmp/run/output"


def test_a_claim_without_a_place() -> None:
    with pytest.raises(LookupError, match="it is not known where the claim data is"):
        config({}, paths=RUN)


def test_destinations_are_where_the_pod_has_them() -> None:
    destinations = [{"pvc": {"claimName": "a", "path": "x"}}, {"pvc": {"claimName": "a", "path": "y/z"}}]
    found = config({"output": {"destinations": destinations}})
    assert [(d.uri, d.path) for d in found.output.destinations] == [
        ("pvc://a/x", "/destinations/0/x"),
        ("pvc://a/y/z", "/destinations/1/y/z"),
    ]
