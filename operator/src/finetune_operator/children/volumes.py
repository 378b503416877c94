"""The pod's volumes, and where each is mounted. A claim that is used twice is one volume with two mounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from finetune_api.job import FineTuneJob
from finetune_api.names import (
    CONFIG_DIR,
    DESTINATIONS_DIR,
    SOURCES_DIR,
    WORK_DIR,
    attempt_name,
    inspect_name,
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


class Volumes(NamedTuple):
    """The pod's `volumes` and the container's `volumeMounts`."""

    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]


def pod_volumes(job: FineTuneJob, *, attempt: int, shared_memory: Quantity) -> Volumes:
    """Of an attempt's pod."""
    mounts = [Mount(work_claim_name(job.metadata.name), WORK_DIR, read_only=False)]
    mounts += [*_sources(job), *_destinations(job)]
    own = {
        "shm": ("/dev/shm", {"medium": "Memory", "sizeLimit": str(shared_memory)}),
        "tmp": ("/tmp", {}),
    }
    extra = _extras(job)
    claims = [mount for volume in extra if (mount := _extra_claim(volume)) is not None]
    return _all(attempt_name(job.metadata.name, attempt), own, [*mounts, *claims], extra)


def inspect_volumes(job: FineTuneJob) -> Volumes:
    """Of the pod that reads the inputs: no claim can be written to, and its work directory goes with it.

    The job's own claim is not among them: one that waits for its first pod would be made where this one happens to be.
    """
    own: dict[str, tuple[str, dict[str, str]]] = {"work": (WORK_DIR, {}), "tmp": ("/tmp", {})}
    extra = _extras(job)
    claims = [mount for volume in extra if (mount := _extra_claim(volume)) is not None]
    mounts = [replace(mount, read_only=True) for mount in (*_sources(job), *claims)]
    return _all(inspect_name(job.metadata.name), own, mounts, extra)


def _all(
    config_map: str, own: Mapping[str, tuple[str, dict[str, str]]], claims: list[Mount], extra: Sequence[Volume]
) -> Volumes:
    volumes: list[dict[str, Any]] = [{"name": "config", "configMap": {"name": config_map}}]
    mounts: list[dict[str, Any]] = [{"name": "config", "mountPath": CONFIG_DIR, "readOnly": True}]
    for name, (path, empty_dir) in own.items():
        volumes.append({"name": name, "emptyDir": empty_dir})
        mounts.append({"name": name, "mountPath": path})
    claim_volumes, claim_mounts = _claims(claims)
    volumes += claim_volumes
    mounts += claim_mounts
    for volume in extra:
        source = _extra_source(volume)
        if source is not None:
            # A prefix keeps the user's names apart from ours.
            name = f"user-{volume.name}"
            volumes.append({"name": name, **source})
            mounts.append({"name": name, "mountPath": volume.mount_path, **_read_only("emptyDir" not in source)})
    return Volumes(volumes, mounts)


def _sources(job: FineTuneJob) -> list[Mount]:
    mounts: list[Mount] = []
    validation = job.spec.dataset.validation
    uris = [job.spec.model.source, job.spec.dataset.train.source, validation.source if validation else None]
    for uri in uris:
        source = parse(uri) if uri else None
        if isinstance(source, Claim):
            mount = Mount(source.name, f"{SOURCES_DIR}/{source.name}", read_only=True)
            if mount not in mounts:
                mounts.append(mount)
    return mounts


def _destinations(job: FineTuneJob) -> list[Mount]:
    destinations = (job.spec.output.destinations if job.spec.output else None) or []
    return [
        Mount(destination.pvc.claim_name, f"{DESTINATIONS_DIR}/{index}", read_only=False)
        for index, destination in enumerate(destinations)
        if destination.pvc is not None
    ]


def _claims(mounts: list[Mount]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    names: dict[str, str] = {}
    for mount in mounts:
        # Claims may have names that a volume may not.
        names.setdefault(mount.claim, "work" if mount.path == WORK_DIR else f"claim-{len(names)}")
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


def _extras(job: FineTuneJob) -> Sequence[Volume]:
    return (job.spec.pod_template.volumes if job.spec.pod_template else None) or ()


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
