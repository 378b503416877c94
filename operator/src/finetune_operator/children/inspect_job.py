"""The Job that reads model and data before the first attempt: one small pod, without an accelerator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from finetune_api.contract import EXIT_CODES, TRAINER_CONTAINER, Outcome
from finetune_api.job import FineTuneJob
from finetune_api.names import inspect_name
from finetune_api.spec.pod import PodTemplate
from finetune_operator.children.inspect_placement import inspect_placement
from finetune_operator.children.metadata import Manifest, labels, owned
from finetune_operator.children.restricted import restricted_pod, trainer_container
from finetune_operator.children.source import Claim, parse
from finetune_operator.children.volumes import inspect_volumes
from finetune_operator.settings import Settings

# What no second try mends. Anything else, an eviction too, is tried again by the Job controller: after 10 s, then
# twice as long each time.
FINAL = (Outcome.BAD_DATA, Outcome.NOT_FOUND, Outcome.PERMISSION, Outcome.BAD_CONFIG)
TRIES_AGAIN = 4
POD_FAILURE_POLICY = {
    "rules": [
        {
            "action": "FailJob",
            "onExitCodes": {
                "containerName": TRAINER_CONTAINER,
                "operator": "In",
                "values": [EXIT_CODES[outcome] for outcome in FINAL],
            },
        },
    ]
}
GRACE_SECONDS = 30


def inspect_job(job: FineTuneJob, settings: Settings, *, resources: Iterable[str]) -> Manifest:
    """`resources` are the accelerators' names as nodes have them: those nodes are tainted with them."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": owned(job, name=inspect_name(job.metadata.name)),
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": TRIES_AGAIN,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": POD_FAILURE_POLICY,
            "template": _pod(job, settings, taints=sorted(set(resources)) if _reads_claims(job) else ()),
        },
    }


def _reads_claims(job: FineTuneJob) -> bool:
    """Then the volume may be one that only nodes with accelerators have."""
    validation = job.spec.dataset.validation
    uris = (job.spec.model.source, job.spec.dataset.train.source, validation.source if validation else None)
    return any(isinstance(parse(uri), Claim) for uri in uris if uri)


def _pod(job: FineTuneJob, settings: Settings, *, taints: Iterable[str]) -> dict[str, Any]:
    volumes, mounts = inspect_volumes(job)
    container = trainer_container(
        job,
        settings.trainer,
        cpu=settings.inspect.cpu,
        memory=str(settings.inspect.memory),
        accelerators={},
        mounts=mounts,
    )
    return restricted_pod(
        job,
        settings.trainer,
        labels=labels(job),
        grace_seconds=GRACE_SECONDS,
        placement=inspect_placement(job.spec.pod_template or PodTemplate(), taints=taints),
        container=container,
        volumes=volumes,
    )
