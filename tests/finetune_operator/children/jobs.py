"""The jobs whose children are golden: the shortest one, and one that says everything that may be said."""

from __future__ import annotations

from typing import Any

from finetune_api.job import FineTuneJob
from finetune_api.status import Sizing
from finetune_operator.sizing.hardware import CPU, builtin
from finetune_operator.sizing.split import roughly
from tests.finetune_operator.reconcile.objects import finetune_job

SHORTEST: dict[str, Any] = {}
EVERYTHING: dict[str, Any] = {
    "model": {
        "source": "hf://org/gated",
        "revision": "v2",
        "tokenSecretRef": {"name": "hf", "key": "token"},
        "trustRemoteCode": True,
    },
    "method": "qlora",
    "objective": "sft",
    "backend": "trl",
    "dataset": {
        "train": {"source": "pvc://data/train.jsonl"},
        "validation": {"source": "pvc://data/validation.jsonl"},
        "format": "alpaca",
        "columns": {"instruction": "question"},
        "trainOn": "lastResponse",
        "quality": {"overlong": "drop", "emptyResponses": "drop"},
    },
    "adapter": {"rank": 8, "alpha": 8, "dropout": 0, "targetModules": ["q_proj"], "modulesToSave": ["embed_tokens"]},
    "training": {
        "epochs": 1.5,
        "maxSteps": 100,
        "learningRate": 0.001,
        "effectiveBatchSize": 32,
        "maxSequenceLength": 4096,
        "packing": False,
        "scheduler": "linear",
        "warmupSteps": 10,
        "optimizer": "pagedAdamw8bit",
        "weightDecay": 0.01,
        "maxGradNorm": 0.3,
        "seed": 7,
        "microBatchSize": 4,
        "gradientCheckpointing": False,
        "attention": "sdpa",
        "precision": "bf16",
        "neftuneAlpha": 5,
    },
    "resources": {"accelerator": "A100-80GB", "count": 1, "nodes": 1, "cpu": "7500m", "memory": "64Gi"},
    "podTemplate": {
        "labels": {"team": "a", "finetune.dev/job-uid": "somebody-else"},
        "annotations": {"note": "mine"},
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]},
                        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]},
                    ]
                }
            }
        },
        "priorityClassName": "high",
        "runtimeClassName": "nvidia",
        "schedulerName": "mine",
        "imagePullSecrets": [{"name": "registry"}],
        "env": [
            {"name": "HF_ENDPOINT", "value": "https://mirror.example"},
            {"name": "PROXY_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "password"}}},
        ],
        "volumes": [
            {"name": "scratch", "mountPath": "/mnt/scratch", "emptyDir": {"sizeLimit": "10Gi"}},
            {"name": "data", "mountPath": "/mnt/data", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "ca", "mountPath": "/mnt/ca", "configMap": {"name": "ca"}},
            {"name": "keys", "mountPath": "/mnt/keys", "secret": {"name": "keys"}},
        ],
    },
    "image": "registry.example/trainer@sha256:0123",
    "storage": {"size": "100Gi", "storageClassName": "fast", "retain": True},
    "output": {
        "merge": False,
        "destinations": [
            {"pvc": {"claimName": "results", "path": "invoices/v1"}},
            {"pvc": {"claimName": "data", "path": "models"}},
        ],
    },
    "checkpoint": {"intervalSeconds": 60, "keep": 3},
}


def job(changes: dict[str, Any]) -> FineTuneJob:
    """As the operator reads it."""
    return FineTuneJob.from_object(finetune_job(**changes))


def sized(of: FineTuneJob) -> Sizing:
    """On the accelerator that it names, else on a CPU: as where nothing is known of the model."""
    asked = of.spec.resources.accelerator if of.spec.resources is not None else None
    return roughly(builtin().row(asked or CPU), of)
