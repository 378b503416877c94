"""FineTuneJobs of the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def stamp(when: datetime) -> str:
    """As the API server writes a time: whole seconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merged(base: Any, changes: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(changes, Mapping) or not isinstance(base, Mapping):
        return changes
    whole = {**base, **{k: merged(base.get(k, {}), v) for k, v in changes.items()}}
    return {k: v for k, v in whole.items() if v is not None}


INSPECTION = {
    "model": json.dumps(
        {
            "model_type": "llama",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "vocab_size": 400,
        }
    ),
    "rows": 5000,
    "tokens": 500_000,
    "trainedTokens": 100_000,
    "lostTokens": 0,
    "longestTokens": 300,
    "p99Tokens": 250,
    "maxSequenceLength": 2048,
    "estimated": False,
}
"""What the inspect pod says of the inputs."""


def finetune_job(name: str = "invoices", *, uid: str = "uid-1", **spec: Any) -> dict[str, Any]:
    """The shortest useful job, with changes merged into its spec, when its inputs have been read."""
    job = new_job(name, uid=uid, **spec)
    return {**job, "status": {**job["status"], "inspection": INSPECTION}}


def new_job(name: str = "invoices", *, uid: str = "uid-1", **spec: Any) -> dict[str, Any]:
    """The same as the API server gives it after its creation."""
    shortest = {
        "model": {"source": "hf://org/model"},
        "method": "lora",
        "dataset": {"train": {"source": "pvc://data/train.jsonl"}},
    }
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid,
            "generation": 1,
            "creationTimestamp": stamp(START),
        },
        "spec": merged(shortest, spec),
        "status": {"observedGeneration": -1},
    }


def gpu_node(product: str = "NVIDIA-L4", *, name: str = "gpu-node", ready: str = "True") -> dict[str, Any]:
    """A node with a GPU, as feature discovery labels it."""
    return {
        "metadata": {"name": name, "labels": {"nvidia.com/gpu.product": product} if product else {}},
        "status": {"allocatable": {"nvidia.com/gpu": "1"}, "conditions": [{"type": "Ready", "status": ready}]},
    }
