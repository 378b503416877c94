"""The PersistentVolumeClaim that holds checkpoints and outputs of all attempts of a job."""

from __future__ import annotations

from finetune_api.job import FineTuneJob
from finetune_api.names import work_claim_name
from finetune_api.spec.resources import StorageSpec
from finetune_api.status import Host
from finetune_operator.children.metadata import Manifest, owned
from finetune_operator.settings import StorageSettings
from finetune_operator.sizing.quantity import at_least


def work_claim(job: FineTuneJob, settings: StorageSettings, *, host: Host | None = None) -> Manifest:
    """One writer at a time: an attempt's pod is gone before the next one's is made."""
    storage = job.spec.storage or StorageSpec()
    metadata = owned(job, name=work_claim_name(job.metadata.name))
    if storage.retain:
        # Its label still says whose it was, so that no later job takes it for its own.
        del metadata["ownerReferences"]
    size = at_least(settings.size, host.storage_gib if host else None) if storage.size is None else str(storage.size)
    storage_class = storage.storage_class_name or settings.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            **({"storageClassName": storage_class} if storage_class else {}),
        },
    }
