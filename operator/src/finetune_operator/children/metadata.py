"""Whose a child is: labels to find it by, and the owner reference by which it goes when its job goes."""

from __future__ import annotations

from typing import Any

from finetune_api import API_VERSION, KIND
from finetune_api.job import FineTuneJob
from finetune_api.names import (
    ACCELERATOR_LABEL,
    ATTEMPT_LABEL,
    JOB_NAME_LABEL,
    JOB_UID_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    attempt_name,
)
from finetune_api.status import Sizing

Manifest = dict[str, Any]


def labels(job: FineTuneJob, *, attempt: int | None = None) -> dict[str, str]:
    """Of every child; those of an attempt carry its number."""
    found = {
        MANAGED_BY_LABEL: MANAGED_BY,
        JOB_NAME_LABEL: job.metadata.name,
        JOB_UID_LABEL: job.metadata.uid,
    }
    return found if attempt is None else {**found, ATTEMPT_LABEL: str(attempt)}


def owner(job: FineTuneJob) -> dict[str, Any]:
    """The controller reference."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": job.metadata.name,
        "uid": job.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def of_attempt(job: FineTuneJob, number: int, *, sizing: Sizing) -> dict[str, Any]:
    """Metadata of a child of one attempt. The label tells what it runs on, also where status was lost."""
    metadata = owned(job, name=attempt_name(job.metadata.name, number), attempt=number)
    return {**metadata, "labels": {**metadata["labels"], ACCELERATOR_LABEL: sizing.accelerator}}


def owned(job: FineTuneJob, *, name: str, attempt: int | None = None) -> dict[str, Any]:
    """Metadata of a child that goes when its job goes."""
    return {
        "name": name,
        "namespace": job.metadata.namespace,
        "labels": labels(job, attempt=attempt),
        "ownerReferences": [owner(job)],
    }
