"""The pod's volumes, and where each is mounted. A claim that is used twice is one volume with two mounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finetune_api.job import FineTuneJob
from finetune_api.names import (
    CONFIG_DIR,
    DESTINATIONS_DIR,
    SOURCES_DIR,
    WORK_DIR,
    attempt_name,
    work_claim_name,
)
from finetune_api.schema import Quantity
from finetune_api.spec.pod import Volume
from finetune_operator.children.source import Claim, parse


@dataclass(frozen=True, slots=True)
class Mount:
    """A claim at a path of the trainer's container."""

    claim: str
    path: str
    read_only: bool


def pod_volumes(
    job: FineTuneJob, *, attempt: int, shared_memory: Quantity
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pod's `volumes` and the container's `volumeMounts`."""
    extra = (job.spec.pod_template.volumes if job.spec.pod_template else None) or []
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": attempt_name(job.metadata.name, attempt)}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(shared_memory)}},
        {"name": "tmp", "emptyDir": {}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
        {"name": "shm", "mountPath": "/dev/shm"},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    claim_volumes, claim_mounts = _claims(
        [*_job_mounts(job), *(mount for volume in extra if (mount := _extra_claim(volume)) is not None)]
    )
    volumes += claim_volumes
    mounts += claim_mounts
    for volume in extra:
        source = _extra_source(volume)
        if source is not None:
            # A prefix keeps the user's names apart from ours.
            name = f"user-{volume.name}"
            volumes.append({"name": name, **source})
            mounts.append({"name": name, "mountPath": volume.mount_path, **_read_only("emptyDir" not in source)})
    return volumes, mounts


def _job_mounts(job: FineTuneJob) -> list[Mount]:
    """Work volume, sources and destinations."""
    mounts = [Mount(work_claim_name(job.metadata.name), WORK_DIR, read_only=False)]
    validation = job.spec.dataset.validation
    uris = [job.spec.model.source, job.spec.dataset.train.source, validation.source if validation else None]
    for uri in uris:
        source = parse(uri) if uri else None
        if isinstance(source, Claim):
            mount = Mount(source.name, f"{SOURCES_DIR}/{source.name}", read_only=True)
            if mount not in mounts:
                mounts.append(mount)
    destinations = (job.spec.output.destinations if job.spec.output else None) or []
    for index, destination in enumerate(destinations):
        if destination.pvc is not None:
            mounts.append(Mount(destination.pvc.claim_name, f"{DESTINATIONS_DIR}/{index}", read_only=False))
    return mounts


def _claims(mounts: list[Mount]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    names: dict[str, str] = {}
    for mount in mounts:
        # Claims may have names that a volume may not.
        names.setdefault(mount.claim, f"claim-{len(names)}" if names else "work")
    volumes = [
        {
            "name": name,
            # Read-only as a whole where all uses are: then many nodes can have it at once.
            "persistentVolumeClaim": {
                "claimName": claim,
                **_read_only(all(mount.read_only for mount in mounts if mount.claim == claim)),
            },
        }
        for claim, name in names.items()
    ]
    return volumes, [{"name": names[m.claim], "mountPath": m.path, **_read_only(m.read_only)} for m in mounts]


def _extra_claim(volume: Volume) -> Mount | None:
    claim = volume.persistent_volume_claim
    if claim is None:
        return None
    return Mount(claim.claim_name, volume.mount_path, read_only=claim.read_only is not False)


def _extra_source(volume: Volume) -> dict[str, Any] | None:
    if volume.config_map is not None:
        return {"configMap": {"name": volume.config_map.name}}
    if volume.secret is not None:
        return {"secret": {"secretName": volume.secret.name}}
    if volume.empty_dir is not None:
        limit = volume.empty_dir.size_limit
        return {"emptyDir": {} if limit is None else {"sizeLimit": str(limit)}}
    return None


def _read_only(value: bool) -> dict[str, bool]:
    return {"readOnly": True} if value else {}
