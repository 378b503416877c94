"""spec.resources, storage, checkpoint, retry: what it runs on and how it survives."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from finetune_api.schema import Name, Quantity, Schema, Seconds


class ResourcesSpec(Schema):
    """Hardware and limits. What the job runs on is shown in status.sizing."""

    accelerator: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Kind of accelerator, such as A100-80GB, or cpu; left out: the cheapest that fits; cpu where there is no GPU."""
    count: Annotated[int, Field(ge=0, le=1024)] | None = None
    """Accelerators per node; left out: as many as it takes, or 0 on CPUs."""
    nodes: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of nodes; left out: 1, or several where one is not enough."""
    cpu: Quantity | None = None
    """CPU request of the training pod, such as 8 or 500m; left out: the operator's setting."""
    memory: Quantity | None = None
    """Memory request and limit of the training pod, such as 64Gi; left out: what it takes, and at least the setting."""
    max_cost_usd: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Refuse a plan that is expected to cost more, in US dollars."""
    max_duration_seconds: Seconds | None = None
    """Refuse a plan that is expected to take longer."""
    price_usd_per_hour: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """Price of one accelerator for an hour, instead of the hardware table's."""
    spot: bool | None = None
    """true: nodes that can be taken away (spot, preemptible) will do, at their price; false: none of them."""


class StorageSpec(Schema):
    """The volume that holds checkpoints and outputs of all attempts."""

    size: Quantity | None = None
    """Size of the volume, such as 50Gi; left out: what it takes, and at least the setting."""
    storage_class_name: Name | None = None
    """StorageClass; left out: the cluster's default."""
    retain: bool | None = None
    """Keep the volume, and the result on it, when the job is deleted; left out: false."""


class CheckpointSpec(Schema):
    """How often a run is saved, so that an interruption costs little."""

    interval_seconds: Annotated[int, Field(ge=5, le=86400)] | None = None
    """Seconds between checkpoints; left out: 600."""
    keep: Annotated[int, Field(ge=1, le=100)] | None = None
    """Complete checkpoints to keep; left out: 2."""


class RetrySpec(Schema):
    """What a failure may cost."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] | None = None
    """Attempts before the job fails; left out: 4. Interruptions (preemption, eviction, a lost node) do not count."""
