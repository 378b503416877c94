"""Every field of spec is either done or refused; none is forgotten and none is ignored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from finetune_api.names import KUEUE_LABEL
from finetune_api.schema import Schema
from finetune_api.spec import FineTuneJobSpec
from finetune_operator.support import TABLE, unsupported
from tests.finetune_operator.reconcile.cluster import Cluster
from tests.finetune_operator.reconcile.objects import finetune_job


def models_in(annotation: Any) -> Iterator[tuple[type[Schema], bool]]:
    """The models within a field's type, and whether they stand in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Schema):
        yield annotation, False
    many = getattr(annotation, "__origin__", None) is list
    for argument in get_args(annotation):
        for model, inner in models_in(argument):
            yield model, many or inner


def leaves(model: type[Schema], path: str = "") -> Iterator[str]:
    """Paths of all fields that hold a value."""
    for name, field in model.model_fields.items():
        here = f"{path}.{field.alias or name}".lstrip(".")
        below = list(models_in(field.annotation))
        if not below:
            yield here
        for inner, many in below:
            yield from leaves(inner, f"{here}[]" if many else here)


LEAVES = sorted(set(leaves(FineTuneJobSpec)))


def rows_of(leaf: str) -> list[str]:
    """The table's rows that speak for a field: its own, or one above it."""
    return [row for row in TABLE if leaf == row or leaf.startswith((f"{row}.", f"{row}[]"))]


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_field_has_exactly_one_row(leaf: str) -> None:
    assert len(rows_of(leaf)) == 1, f"say in support.TABLE whether spec.{leaf} is supported"


@pytest.mark.parametrize("row", TABLE)
def test_every_row_is_of_a_field(row: str) -> None:
    assert any(row in rows_of(leaf) for leaf in LEAVES), f"spec.{row} is no field (any more)"


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"model": {"source": "file:///models/x"}},
        "spec.model.source: file:// is a path on the machine of `finetune run`",
    ),
    ({"model": {"source": "s3://bucket/x"}}, "spec.model.source: s3:// is not read by this version"),
    ({"model": {"source": "oci://registry/x"}}, "spec.model.source: oci:// is not read"),
    ({"model": {"secretRef": {"name": "s3"}}}, "spec.model.secretRef: is not supported"),
    ({"method": "ia3"}, "spec.method: ia3 is not supported: works: full, lora, qlora"),
    ({"objective": "dpo"}, "spec.objective: dpo is not supported: works: sft"),
    ({"backend": "unsloth"}, "spec.backend: unsloth is not supported"),
    ({"backend": "axolotl"}, "spec.backend: axolotl is not supported"),
    ({"dataset": {"train": {"source": "s3://bucket/x.jsonl"}}}, "spec.dataset.train.source: s3://"),
    ({"dataset": {"validation": {"source": "s3://bucket/x"}}}, "spec.dataset.validation.source: s3://"),
    ({"dataset": {"format": "sharegpt"}}, "spec.dataset.format: sharegpt is not supported"),
    ({"objective": "dpo", "dataset": {"format": "preference"}}, "spec.dataset.format: preference is not supported"),
    ({"dataset": {"mix": [{"source": "hf://o/n", "ratio": 0.1}]}}, "spec.dataset.mix: is not supported"),
    ({"dataset": {"quality": {"deduplicate": "near"}}}, "spec.dataset.quality.deduplicate: is not supported"),
    ({"dataset": {"quality": {"minResponseTokens": 2}}}, "spec.dataset.quality.minResponseTokens: is not"),
    ({"dataset": {"train": {"split": "train"}}}, "spec.dataset.train.split: only hf:// data sets have it"),
    (
        {"podTemplate": {"labels": {KUEUE_LABEL: "team-a"}}},
        f"spec.podTemplate.labels[{KUEUE_LABEL}]: this version does not queue",
    ),
    ({"adapter": {"variant": "dora"}}, "spec.adapter.variant: dora is not supported: works: lora"),
    ({"adapter": {"init": "pissa"}}, "spec.adapter.init: pissa is not supported: works: default"),
    ({"objective": "dpo", "training": {"dpo": {"beta": 0.1}}}, "spec.training.dpo: is not supported"),
    ({"resources": {"count": 65}}, "spec.resources.count: 65 is not supported: this version trains on one node"),
    ({"resources": {"nodes": 2}}, "spec.resources.nodes: 2 is not supported: this version trains on one node: 1"),
    ({"evaluation": {"metrics": ["f1"]}}, "spec.evaluation: is not supported"),
    ({"output": {"merge": True}}, "spec.output.merge: true is not supported"),
    (
        {"output": {"destinations": [{"pvc": {"claimName": "a", "path": "b"}}, {"s3": {"uri": "s3://a/b"}}]}},
        "spec.output.destinations[1].s3: is not supported",
    ),
    ({"tracking": {"tensorboard": {}}}, "spec.tracking: is not supported"),
]


@pytest.mark.parametrize(("changes", "says"), REFUSED)
def test_refused_with_a_sentence_and_no_child(changes: dict[str, Any], says: str) -> None:
    cluster = Cluster(finetune_job(**changes))
    cluster.reconcile()
    assert cluster.phase() == "Failed"
    assert cluster.children == {}
    assert says in cluster.condition("Failed")["message"]
    assert cluster.condition("Failed")["reason"] == "Unsupported"
    assert cluster.condition("Stalled")["status"] == "True"
    assert cluster.condition("Reconciling")["status"] == "False"
    [(reason, message)] = cluster.events
    assert reason == "Unsupported"
    assert says in message


def test_all_that_is_refused_is_named_at_once() -> None:
    sentences = unsupported({"method": "ia3", "evaluation": {}, "backend": "unsloth"}, labels={})
    assert [sentence.partition(":")[0] for sentence in sentences] == ["spec.method", "spec.backend", "spec.evaluation"]


def test_a_queue_is_refused_as_long_as_nothing_queues() -> None:
    job = finetune_job()
    job["metadata"]["labels"] = {KUEUE_LABEL: "team-a"}
    cluster = Cluster(job)
    cluster.reconcile()
    assert KUEUE_LABEL in cluster.condition("Failed")["message"]
    assert cluster.children == {}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"training": {"epochs": -1}}, "spec.training.epochs"),
        ({"trainning": {}}, "spec.trainning"),
        ({"method": "magic"}, "spec.method"),
        ({"method": "full", "adapter": {"rank": 8}}, "method full trains every weight and has no adapter"),
        (
            {"model": {"source": "pvc://models/../secrets"}},
            "spec.model.source: pvc://models/../secrets must not lead out",
        ),
        ({"model": {"source": "hf://a/b/c"}}, "spec.model.source: hf://a/b/c must be hf://ORGANISATION/NAME"),
    ],
)
def test_what_an_older_schema_let_in_is_invalid_and_no_exception(changes: dict[str, Any], says: str) -> None:
    cluster = Cluster(finetune_job(**changes))
    cluster.reconcile()
    assert cluster.phase() == "Failed"
    assert cluster.condition("Stalled")["reason"] == "InvalidSpec"
    assert says in cluster.condition("Failed")["message"]
    assert cluster.children == {}


@pytest.mark.parametrize("name", ["n" * 51, "dotted.name"])
def test_a_name_that_an_older_schema_let_in(name: str) -> None:
    cluster = Cluster(finetune_job(name))
    cluster.reconcile()
    assert "metadata.name" in cluster.condition("Failed")["message"]
