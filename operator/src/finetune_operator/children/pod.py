"""The training pod. The user's podTemplate adds to it; nothing in it can loosen what is set here."""

from __future__ import annotations

from typing import Any

from finetune_api.contract import TERMINATION_LOG, TRAINER_CONTAINER
from finetune_api.job import FineTuneJob
from finetune_api.names import TRAINER_PORT
from finetune_api.spec.pod import PodTemplate
from finetune_api.spec.resources import ResourcesSpec
from finetune_api.status import Sizing
from finetune_operator.children.environment import environment
from finetune_operator.children.metadata import labels
from finetune_operator.children.placement import placement
from finetune_operator.children.volumes import pod_volumes
from finetune_operator.settings import TrainerSettings
from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.quantity import at_least

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


def pod_template(
    job: FineTuneJob, *, attempt: int, hardware: Hardware, sizing: Sizing, settings: TrainerSettings
) -> dict[str, Any]:
    """The Job's `template`: one pod with as many accelerators of the kind as it was sized for."""
    template = job.spec.pod_template or PodTemplate()
    host = sizing.host
    shared_memory = at_least(settings.shared_memory, host.shared_memory_gib if host else None)
    volumes, mounts = pod_volumes(job, attempt=attempt, shared_memory=shared_memory)
    secrets = [*settings.image_pull_secrets, *(secret.name for secret in template.image_pull_secrets or [])]
    metadata: dict[str, Any] = {"labels": {**(template.labels or {}), **labels(job, attempt=attempt)}}
    if template.annotations:
        metadata["annotations"] = dict(template.annotations)
    return {
        "metadata": metadata,
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": max(settings.termination_grace_seconds, host.grace_seconds if host else 0),
            "securityContext": POD_SECURITY,
            **placement(template, hardware, spot=job.spec.resources.spot if job.spec.resources else None),
            **({"imagePullSecrets": [{"name": name} for name in dict.fromkeys(secrets)]} if secrets else {}),
            "containers": [_trainer(job, mounts, hardware=hardware, sizing=sizing, settings=settings)],
            "volumes": volumes,
        },
    }


def _trainer(
    job: FineTuneJob, mounts: list[dict[str, Any]], *, hardware: Hardware, sizing: Sizing, settings: TrainerSettings
) -> dict[str, Any]:
    asked = job.spec.resources or ResourcesSpec()
    cpu = settings.cpu if asked.cpu is None else asked.cpu
    needed = sizing.host.memory_gib if sizing.host else None
    memory = at_least(settings.memory, needed) if asked.memory is None else str(asked.memory)
    # Memory is limited to what is asked for: a node that runs out of it kills others too. CPU is not: idle cores help.
    limits = {"memory": memory, **({hardware.resource: str(sizing.count)} if hardware.resource else {})}
    return {
        "name": TRAINER_CONTAINER,
        "image": job.spec.image or settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "env": environment(job, cpu=cpu, extra=settings.env),
        "ports": [{"name": PORT_NAME, "containerPort": TRAINER_PORT}],
        "resources": {"requests": {"cpu": str(cpu), "memory": memory}, "limits": limits},
        "securityContext": CONTAINER_SECURITY,
        "livenessProbe": LIVENESS,
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
