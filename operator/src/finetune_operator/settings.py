"""The operator's settings, and what each is when nobody says anything. `finetune_operator.configuration` reads them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.schema import ImageRef, Name, Quantity, Schema
from finetune_operator.sizing.cluster.offers import NodesToCome


class TrainerSettings(Schema):
    """What every training pod gets, unless its job says otherwise."""

    image: ImageRef = "finetune-trainer:latest"
    """Trainer image, by digest where it matters."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """Pull policy of the trainer's image."""
    image_pull_secrets: list[Name] = []
    """Secrets for pulling it, in the job's namespace."""
    cpu: Quantity = "1"
    """CPU request."""
    memory: Quantity = "4Gi"
    """Memory request and limit, at least: what sizing finds a run to need, if that is more."""
    shared_memory: Quantity = "1Gi"
    """Size of /dev/shm."""
    env: dict[str, str] = {}
    """Environment of the trainer, such as HF_ENDPOINT or HTTPS_PROXY."""
    termination_grace_seconds: Annotated[int, Field(ge=5, le=3600)] = 120
    """Time to write a checkpoint after SIGTERM, at least: more where sizing finds it to need more."""


class InspectSettings(Schema):
    """The pod that reads model and data before a job is sized."""

    cpu: Quantity = "500m"
    """CPU request of the pod that reads a job's inputs; it may use more."""
    memory: Quantity = "2Gi"
    """Memory request and limit of that pod."""


class StorageSettings(Schema):
    """The work volume, where a job doesn't say."""

    size: Quantity = "50Gi"
    """Size of the volume, at least: more where sizing finds a run to need more."""
    storage_class_name: Name | None = None
    """StorageClass; left out: the cluster's default."""


class LimitSettings(Schema):
    """How long things may take, in seconds."""

    start_deadline_seconds: Annotated[int, Field(ge=5)] = 900
    """A pod whose container has not started so long after scheduling (missing Secret, image) gives its GPU back."""
    interruptions_without_progress: Annotated[int, Field(ge=1, le=100)] = 10
    """Pods lost in a row that came no further before the attempt fails; likewise lost attempts before the job does."""
    progress_interval_seconds: Annotated[float, Field(ge=1)] = 10
    """At most one status write per job in this time for progress alone."""
    sweep_seconds: Annotated[float, Field(ge=5)] = 300
    """Time between LISTs that find what vanished without a watch event."""


class Settings(Schema):
    """All of it. Every field has a default that is right in a cluster."""

    namespaces: list[Name] = []
    """Namespaces to watch; empty: all."""
    pod_namespace: str = "default"
    """The operator's own namespace: where its Lease is."""
    lease_name: Name = "finetune-operator"
    """Lease of leader election."""
    nodes_to_come: Annotated[list[NodesToCome], Field(max_length=64)] = []
    """Kinds of node that the cluster adds when a pod needs one: accelerator, count of one node, most nodes."""
    workers: Annotated[int, Field(ge=1, le=64)] = 4
    """Jobs reconciled at the same time."""
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port of /metrics, /healthz and /readyz."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level logged."""
    log_format: Literal["json", "text"] = "json"
    """json for machines, text for people."""
    progress_through: Literal["pod", "apiServer"] = "pod"
    """How /progress is reached: the pod's IP (in the cluster), or the API server's pods/proxy (outside)."""
    hardware_file: str | None = None
    """File with rows of the hardware table, over those that the operator knows; it is read again when it changes."""
    trainer: TrainerSettings = TrainerSettings()
    """Training pods."""
    inspect: InspectSettings = InspectSettings()
    """Pods that read a job's inputs before it is sized."""
    storage: StorageSettings = StorageSettings()
    """Work volumes."""
    limits: LimitSettings = LimitSettings()
    """Deadlines."""
