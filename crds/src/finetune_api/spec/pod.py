"""spec.podTemplate: the closed list of what a user may say about the training pod."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from finetune_api.schema import Name, Quantity, Rule, Schema, SecretKey, SecretName, exactly_one_of
from finetune_api.spec.affinity import Affinity, LabelMap

# What the operator or the kubelet sets for the trainer; a job that overrode it would break the contract.
RESERVED_ENV = r"^(FINETUNE_.*|HOME|HF_TOKEN|HF_HOME|PATH|PYTHONPATH|LD_PRELOAD|LD_LIBRARY_PATH)$"


# The API server refuses two items of the same name in such a list.
KEYED_ON_NAME: dict[str, JsonValue] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


def _named_once(items: list[Any]) -> list[Any]:
    names = [item.name for item in items]
    for name in names:
        if names.count(name) > 1:
            raise PydanticCustomError("duplicate", 'name "{name}" is given twice', {"name": name})
    return items


NAMED_ONCE = AfterValidator(_named_once)


class Toleration(Schema):
    """A taint that the training pod tolerates."""

    key: Annotated[str, Field(max_length=317)] | None = None
    """Key of the taint; left out with operator Exists: every taint."""
    operator: Literal["Exists", "Equal"] | None = None
    """Equal (the default) or Exists."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Value of the taint, for Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; left out: all."""
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """How long a NoExecute taint is tolerated."""


class EnvFrom(Schema):
    """Where an environment variable's value comes from."""

    secret_key_ref: SecretKey
    """A key of a Secret."""


class EnvVar(Schema):
    """An environment variable of the trainer's container."""

    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of("value", "value_from"),
        Rule(
            cel=f"!self.name.matches('{RESERVED_ENV}')",
            message="this variable is set by the operator; choose another name",
            holds=lambda it: not re.search(RESERVED_ENV, it.name),
            field="name",
        ),
    )

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """Value, in plain sight: use valueFrom for anything secret."""
    value_from: EnvFrom | None = None
    """Value from a Secret."""


class ClaimVolume(Schema):
    """A PersistentVolumeClaim of the job's namespace."""

    claim_name: Name
    """Name of the claim."""
    read_only: bool | None = None
    """Mount it read-only; left out: true."""


class ConfigMapVolume(Schema):
    """A ConfigMap of the job's namespace."""

    name: Name
    """Name of the ConfigMap."""


class Volume(Schema):
    """A volume mounted into the trainer's container, at `mountPath`."""

    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one_of("persistent_volume_claim", "config_map", "secret", "empty_dir"),
    )

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """Name of the volume."""
    mount_path: Annotated[str, Field(min_length=2, max_length=512, pattern=r"^/mnt/[^\t\n\f\r :]+$")]
    """Where it is mounted: a path under /mnt/."""
    persistent_volume_claim: ClaimVolume | None = None
    """A claim."""
    config_map: ConfigMapVolume | None = None
    """A ConfigMap."""
    secret: SecretName | None = None
    """A Secret."""
    empty_dir: EmptyDirVolume | None = None
    """Scratch space."""


class EmptyDirVolume(Schema):
    """Scratch space that goes with the pod."""

    size_limit: Quantity | None = None
    """Limit of its size."""


class PodTemplate(Schema):
    """What may be said about the training pod. Nothing here can loosen its security context."""

    labels: LabelMap | None = None
    """Labels added to the pod."""
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64)] | None = None
    """Annotations added to the pod."""
    node_selector: LabelMap | None = None
    """Labels that the node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=64)] | None = None
    """Taints tolerated."""
    affinity: Affinity | None = None
    """Rules about nodes and other pods, as in a Pod."""
    priority_class_name: Name | None = None
    """PriorityClass of the pod."""
    runtime_class_name: Name | None = None
    """RuntimeClass of the pod, such as nvidia."""
    scheduler_name: Name | None = None
    """Scheduler, where it is not the default one."""
    image_pull_secrets: Annotated[list[SecretName], Field(max_length=16)] | None = None
    """Secrets for pulling the trainer's image."""
    env: Annotated[list[EnvVar], Field(max_length=64, json_schema_extra=KEYED_ON_NAME), NAMED_ONCE] | None = None
    """Environment variables added to the trainer's container."""
    volumes: Annotated[list[Volume], Field(max_length=16, json_schema_extra=KEYED_ON_NAME), NAMED_ONCE] | None = None
    """Volumes mounted into the trainer's container."""
