"""What the schema allows and nobody can mean: said before anything runs, and not after hours of training."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from finetune_api.job import FineTuneJob
from finetune_api.names import work_claim_name
from finetune_api.schema import Quantity
from finetune_operator.sizing.quantity import amount

LEAST_MEMORY = "256Mi"
"""Python with its training libraries takes more before it has loaded anything; less is a unit that was forgotten."""
LEAST_STORAGE = "1Mi"
BATCH_LABELS = frozenset(
    {"job-name", "controller-uid", "batch.kubernetes.io/job-name", "batch.kubernetes.io/controller-uid"}
)


def nonsense(job: FineTuneJob) -> list[str]:
    """A sentence for everything that cannot be meant so."""
    return [*_labels(job), *_mounts(job), *_destinations(job), *_quantities(job)]


def _labels(job: FineTuneJob) -> Iterator[str]:
    """Of another value the API server refuses the whole Job, in a page of text."""
    labels = (job.spec.pod_template.labels if job.spec.pod_template else None) or {}
    for name in labels:
        if name in BATCH_LABELS:
            yield f"spec.podTemplate.labels[{name}]: Kubernetes itself gives the pods of a Job this label; remove it"


def _mounts(job: FineTuneJob) -> Iterator[str]:
    """The API server takes a path with `..` in it, and the volume would lie on top of another one."""
    seen: dict[str, str] = {}
    volumes = (job.spec.pod_template.volumes if job.spec.pod_template else None) or []
    for index, volume in enumerate(volumes):
        where = f"spec.podTemplate.volumes[{index}].mountPath"
        if ".." in volume.mount_path.split("/"):
            yield f"{where}: {volume.mount_path} must not lead out of /mnt/: remove the .."
            continue
        path = posixpath.normpath(volume.mount_path)
        if path == "/mnt":
            yield f"{where}: {volume.mount_path} must be a path below /mnt/"
        elif path in seen:
            yield f"{where}: {volume.mount_path} is that of volume {seen[path]} too; mount it elsewhere"
        seen.setdefault(path, volume.name)


def _destinations(job: FineTuneJob) -> Iterator[str]:
    """Each wants an empty folder, and the trainer would find the one in the other at the very end."""
    seen: list[tuple[str, str]] = []
    destinations = (job.spec.output.destinations if job.spec.output else None) or []
    for index, destination in enumerate(destinations):
        pvc = destination.pvc
        if pvc is None:
            continue
        where = f"spec.output.destinations[{index}].pvc"
        if pvc.claim_name == work_claim_name(job.metadata.name):
            yield f"{where}: {pvc.claim_name} is the job's own volume, which holds the result anyway; remove it"
        for claim, path in seen:
            if claim == pvc.claim_name and _one_in_the_other(path, pvc.path):
                yield f"{where}: {pvc.path} and {path} of claim {claim} lie in each other; name separate folders"
        seen.append((pvc.claim_name, pvc.path))


def _one_in_the_other(a: str, b: str) -> bool:
    return f"{a}/".startswith(f"{b}/") or f"{b}/".startswith(f"{a}/")


def _quantities(job: FineTuneJob) -> Iterator[str]:
    resources, storage = job.spec.resources, job.spec.storage
    given: dict[str, tuple[Quantity | None, str]] = {
        "spec.resources.memory": (resources.memory if resources is not None else None, LEAST_MEMORY),
        "spec.storage.size": (storage.size if storage is not None else None, LEAST_STORAGE),
    }
    for where, (quantity, least) in given.items():
        if quantity is not None and amount(quantity) < amount(least):
            count = f"{amount(quantity).normalize():f}"
            yield f"{where}: {quantity} is {count} bytes; less than {least} cannot work (units are Mi, Gi, Ti)"
