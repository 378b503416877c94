"""What of the resource this version does. A field that it does not do is refused with a sentence, never ignored.

One table, from the path of a field (lists with []) to what may stand there. A path speaks for all that lies below it
unless a longer one does. A test holds that every field of spec has a row, so that a new one cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_api.names import KUEUE_LABEL


@dataclass(frozen=True, slots=True)
class Only:
    """These values and no others."""

    values: tuple[object, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class AtMost:
    """Numbers up to this one."""

    most: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Schemes:
    """URIs that begin so, and a sentence for each that begins otherwise."""

    schemes: tuple[str, ...]
    sentences: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Not:
    """Nothing at all, with what works instead."""

    sentence: str


class Yes:
    """Whatever the schema allows."""


YES = Yes()
Row = Yes | Only | AtMost | Schemes | Not

SOURCES = Schemes(
    ("hf", "pvc"),
    {
        "file": "file:// is a path on the machine of `finetune run`; in a cluster use hf:// or pvc://CLAIM/PATH",
        "s3": "s3:// is not read by this version; use hf://, or copy it to a claim and use pvc://CLAIM/PATH",
        "oci": "oci:// is not read by this version; use hf://, or copy it to a claim and use pvc://CLAIM/PATH",
    },
)
_ONE_NODE = "this version trains on one node"
MOST_ACCELERATORS = 64
"""Of one node: no machine has more, and a larger count is a typing error or is meant for several nodes."""
_NO_S3 = "this version has no s3:// or oci://, so nothing would use it; remove it"

TABLE: Mapping[str, Row] = {
    "model.source": SOURCES,
    "model.revision": YES,
    "model.tokenSecretRef": YES,
    "model.trustRemoteCode": YES,
    "model.secretRef": Not(_NO_S3),
    "model.architecture": YES,
    "method": Only(("full", "lora", "qlora"), "works: full, lora, qlora"),
    "objective": Only(("sft",), "works: sft"),
    "backend": Only(("trl",), "works: trl"),
    "dataset.train.source": SOURCES,
    "dataset.train.split": YES,
    "dataset.train.subset": YES,
    "dataset.train.revision": YES,
    "dataset.train.tokenSecretRef": YES,
    "dataset.train.secretRef": Not(_NO_S3),
    "dataset.validation.source": SOURCES,
    "dataset.validation.fraction": YES,
    "dataset.validation.split": YES,
    "dataset.format": Only(
        ("alpaca", "messages", "promptCompletion", "text"), "works: alpaca, messages, promptCompletion, text"
    ),
    "dataset.columns": YES,
    "dataset.trainOn": YES,
    "dataset.mix": Not("this version trains on one data set; mix the rows beforehand"),
    "dataset.quality.overlong": YES,
    "dataset.quality.emptyResponses": YES,
    "dataset.quality.deduplicate": Not("this version does not deduplicate; do it beforehand"),
    "dataset.quality.minResponseTokens": Not("this version does not filter by length; do it beforehand"),
    "adapter.rank": YES,
    "adapter.alpha": YES,
    "adapter.dropout": YES,
    "adapter.targetModules": YES,
    "adapter.modulesToSave": YES,
    "adapter.variant": Only(("lora",), "works: lora"),
    "adapter.init": Only(("default",), "works: default"),
    **{
        f"training.{name}": YES
        for name in (
            "epochs",
            "maxSteps",
            "learningRate",
            "effectiveBatchSize",
            "maxSequenceLength",
            "packing",
            "scheduler",
            "warmupRatio",
            "warmupSteps",
            "optimizer",
            "weightDecay",
            "maxGradNorm",
            "seed",
            "microBatchSize",
            "gradientCheckpointing",
            "attention",
            "lossKernel",
            "precision",
            "sharding",
            "neftuneAlpha",
        )
    },
    "training.dpo": Not("this version has no dpo; remove it"),
    "resources.accelerator": YES,
    "resources.count": AtMost(MOST_ACCELERATORS, f"{_ONE_NODE}: at most {MOST_ACCELERATORS}, or 0 for a CPU"),
    "resources.nodes": Only((1,), f"{_ONE_NODE}: 1"),
    "resources.cpu": YES,
    "resources.memory": YES,
    "resources.maxCostUSD": YES,
    "resources.maxDurationSeconds": YES,
    "resources.priceUSDPerHour": YES,
    "resources.spot": YES,
    "podTemplate.labels": YES,
    "podTemplate.annotations": YES,
    "podTemplate.nodeSelector": YES,
    "podTemplate.tolerations": YES,
    "podTemplate.affinity": YES,
    "podTemplate.priorityClassName": YES,
    "podTemplate.runtimeClassName": YES,
    "podTemplate.schedulerName": YES,
    "podTemplate.imagePullSecrets": YES,
    "podTemplate.env": YES,
    "podTemplate.volumes": YES,
    "image": YES,
    "storage.size": YES,
    "storage.storageClassName": YES,
    "storage.retain": YES,
    "evaluation": Not("this version measures the loss on dataset.validation and nothing else; remove it"),
    "output.merge": Only((False,), "this version writes the adapter alone; merge it afterwards"),
    "output.destinations[].pvc": YES,
    "output.destinations[].s3": Not("this version copies results to claims only; use pvc"),
    "output.destinations[].oci": Not("this version copies results to claims only; use pvc"),
    "output.destinations[].hub": Not("this version copies results to claims only; use pvc"),
    "checkpoint.intervalSeconds": YES,
    "checkpoint.keep": YES,
    "tracking": Not("this version has no trackers; curves are in metrics.jsonl on the job's volume"),
    "retry.maxAttempts": YES,
    "suspend": YES,
    "activeDeadlineSeconds": YES,
    "ttlSecondsAfterFinished": YES,
}


def unsupported(spec: Mapping[str, Any], *, labels: Mapping[str, str]) -> list[str]:
    """A sentence for every field that this version does not do. `spec` is in wire form."""
    found = []
    for path, row in TABLE.items():
        for where, value in _values(spec, path.split("."), "spec"):
            sentence = _objection(row, value)
            if sentence is not None:
                found.append(f"{where}: {sentence}")
    data = spec.get("dataset") or {}
    for name in ("train", "validation"):
        part = data.get(name) or {}
        if not str(part.get("source", "hf://")).startswith("hf://"):
            found += [
                f"spec.dataset.{name}.{field}: only hf:// data sets have it; remove it"
                for field in ("split", "subset")
                if field in part
            ]
    template = spec.get("podTemplate") or {}
    for where, given in (("metadata.labels", labels), ("spec.podTemplate.labels", template.get("labels") or {})):
        if KUEUE_LABEL in given:
            found.append(
                f"{where}[{KUEUE_LABEL}]: this version does not queue, and would take what Kueue has not given; "
                "remove the label"
            )
    return found


def _objection(row: Row, value: object) -> str | None:
    match row:
        case Yes():
            return None
        case Not(sentence):
            return f"is not supported: {sentence}"
        case Only(values, sentence):
            return None if value in values else f"{_shown(value)} is not supported: {sentence}"
        case AtMost(most, sentence):
            return None if isinstance(value, int) and value <= most else f"{_shown(value)} is not supported: {sentence}"
        case Schemes(schemes, sentences):
            scheme = str(value).partition("://")[0]
            return None if scheme in schemes else sentences.get(scheme, f"{scheme}:// is not supported")


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(value: Any, path: list[str], where: str) -> Iterator[tuple[str, Any]]:
    """Everything that stands at a path, with its place."""
    if not path:
        yield where, value
        return
    name, many = path[0].removesuffix("[]"), path[0].endswith("[]")
    if not isinstance(value, Mapping) or value.get(name) is None:
        return
    below = value[name]
    if many:
        for index, each in enumerate(below):
            yield from _values(each, path[1:], f"{where}.{name}[{index}]")
    else:
        yield from _values(below, path[1:], f"{where}.{name}")
