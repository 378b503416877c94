"""What every pod of ours is: restricted, with no API token. A job's podTemplate cannot loosen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_api.contract import TERMINATION_LOG, TRAINER_CONTAINER
from finetune_api.job import FineTuneJob
from finetune_api.names import TRAINER_PORT
from finetune_api.schema import Quantity
from finetune_api.spec.pod import PodTemplate
from finetune_operator.children.environment import environment
from finetune_operator.settings import TrainerSettings

USER = 65532
"""The trainer's user and group in its image, as a number: the kubelet can't tell whether a name is root's."""
PORT_NAME = "progress"

# The restricted Pod Security Standard, and a root file system that cannot be written.
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    # Changing the owner of every file of a large volume can take longer than training.
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}
# The supervisor answers from its first second and knows how long each phase may be silent; this is for when it is
# dead itself. 8 x 30 s outlast a node that swaps or a volume that hangs for a while.
LIVENESS = {
    "httpGet": {"path": "/healthz", "port": PORT_NAME},
    "initialDelaySeconds": 30,
    "periodSeconds": 30,
    "timeoutSeconds": 10,
    "failureThreshold": 8,
}


def restricted_pod(
    job: FineTuneJob,
    settings: TrainerSettings,
    *,
    labels: Mapping[str, str],
    grace_seconds: int,
    placement: Mapping[str, Any],
    container: Mapping[str, Any],
    volumes: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """A Job's `template`. `labels`: ours, which win over the user's."""
    template = job.spec.pod_template or PodTemplate()
    secrets = [*settings.image_pull_secrets, *(secret.name for secret in template.image_pull_secrets or [])]
    metadata: dict[str, Any] = {"labels": {**(template.labels or {}), **labels}}
    if template.annotations:
        metadata["annotations"] = dict(template.annotations)
    return {
        "metadata": metadata,
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": grace_seconds,
            "securityContext": POD_SECURITY,
            **placement,
            **({"imagePullSecrets": [{"name": name} for name in dict.fromkeys(secrets)]} if secrets else {}),
            "containers": [dict(container)],
            "volumes": list(volumes),
        },
    }


def trainer_container(
    job: FineTuneJob,
    settings: TrainerSettings,
    *,
    cpu: Quantity,
    memory: str,
    accelerators: Mapping[str, str],
    mounts: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The trainer's image, told by the configuration file what to do. `accelerators`: extended resources."""
    # Memory is limited to what is asked for: a node that runs out of it kills others too. CPU is not: idle cores help.
    return {
        "name": TRAINER_CONTAINER,
        "image": job.spec.image or settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "env": environment(job, cpu=cpu, extra=settings.env),
        "ports": [{"name": PORT_NAME, "containerPort": TRAINER_PORT}],
        "resources": {"requests": {"cpu": str(cpu), "memory": memory}, "limits": {"memory": memory, **accelerators}},
        "securityContext": CONTAINER_SECURITY,
        "livenessProbe": LIVENESS,
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": list(mounts),
    }
