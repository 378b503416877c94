"""The training pod. The user's podTemplate adds to it; nothing in it can loosen what every pod of ours is."""

from __future__ import annotations

from typing import Any

from finetune_api.job import FineTuneJob
from finetune_api.spec.pod import PodTemplate
from finetune_api.spec.resources import ResourcesSpec
from finetune_api.status import Sizing
from finetune_operator.children.metadata import labels
from finetune_operator.children.placement import placement
from finetune_operator.children.restricted import restricted_pod, trainer_container
from finetune_operator.children.volumes import pod_volumes
from finetune_operator.settings import TrainerSettings
from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.quantity import at_least


def pod_template(
    job: FineTuneJob, *, attempt: int, hardware: Hardware, sizing: Sizing, settings: TrainerSettings
) -> dict[str, Any]:
    """The Job's `template`: one pod with as many accelerators of the kind as it was sized for."""
    asked = job.spec.resources or ResourcesSpec()
    host = sizing.host
    shared_memory = at_least(settings.shared_memory, host.shared_memory_gib if host else None)
    volumes, mounts = pod_volumes(job, attempt=attempt, shared_memory=shared_memory)
    needed = at_least(settings.memory, host.memory_gib if host else None)
    container = trainer_container(
        job,
        settings,
        cpu=settings.cpu if asked.cpu is None else asked.cpu,
        memory=needed if asked.memory is None else str(asked.memory),
        accelerators={hardware.resource: str(sizing.count)} if hardware.resource else {},
        mounts=mounts,
    )
    return restricted_pod(
        job,
        settings,
        labels=labels(job, attempt=attempt),
        grace_seconds=max(settings.termination_grace_seconds, host.grace_seconds if host else 0),
        placement=placement(job.spec.pod_template or PodTemplate(), hardware, spot=asked.spot),
        container=container,
        volumes=volumes,
    )
