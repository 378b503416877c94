"""What sizing reads of a cluster's objects, so that a file that somebody has written can be held to it.

The API server holds its objects to more. Fields that are not named here may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError
from pydantic.alias_generators import to_camel

from finetune_operator.numbered_yaml import field_path
from finetune_operator.sizing.quantity import amount


def fault(kind: str, value: Mapping[str, Any]) -> str | None:
    """What is wrong with an object of a kind that sizing reads, by its field; None: nothing."""
    model = _KINDS.get(kind)
    if model is None:
        return None
    try:
        model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        cause = {
            "missing": "is missing",
            "string_type": "must be a string; put it in quotes",
            "dict_type": "must be a mapping",
            "model_type": "must be a mapping",
            "list_type": "must be a list",
        }.get(first["type"])
        return f"{field_path(first['loc'])}: {cause or first['msg'].removeprefix('Value error, ')}"
    return None


def _quantity(given: Any) -> Any:
    amount(given)
    return given


Amount = Annotated[Any, PlainValidator(_quantity)]
Amounts = dict[str, Amount]


class _Read(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, defer_build=True)


class _Metadata(_Read):
    name: str
    labels: dict[str, str] = {}


class _Condition(_Read):
    type: str
    status: str


class _Taint(_Read):
    key: str
    effect: str
    value: str = ""


class _NodeSpec(_Read):
    taints: list[_Taint] = []
    unschedulable: bool = False


class _NodeStatus(_Read):
    allocatable: Amounts = {}
    conditions: list[_Condition] = []


class _Node(_Read):
    metadata: _Metadata
    spec: _NodeSpec | None = None
    status: _NodeStatus | None = None


class _Resources(_Read):
    limits: Amounts = {}
    requests: Amounts = {}


class _Container(_Read):
    resources: _Resources | None = None
    restart_policy: str = ""


class _PodSpec(_Read):
    node_name: str = ""
    containers: list[_Container]
    init_containers: list[_Container] = []
    resources: _Resources | None = None
    overhead: Amounts = {}


class _PodStatus(_Read):
    phase: str = ""


class _Pod(_Read):
    metadata: _Metadata
    spec: _PodSpec
    status: _PodStatus | None = None


class _Quota(_Read):
    name: str
    nominal_quota: Amount
    borrowing_limit: Amount = 0
    lending_limit: Amount = 0


class _Quotas(_Read):
    name: str
    resources: list[_Quota]


class _Group(_Read):
    covered_resources: list[str]
    flavors: list[_Quotas]


class _Reserved(_Read):
    name: str
    total: Amount = 0


class _Reservation(_Read):
    name: str
    resources: list[_Reserved]


class _QueueSpec(_Read):
    resource_groups: list[_Group] = []
    cohort: str = ""
    cohort_name: str = ""
    stop_policy: str = ""


class _QueueStatus(_Read):
    conditions: list[_Condition] = []
    flavors_reservation: list[_Reservation] = []


class _ClusterQueue(_Read):
    metadata: _Metadata
    spec: _QueueSpec
    status: _QueueStatus | None = None


class _LocalQueueSpec(_Read):
    cluster_queue: str
    stop_policy: str = ""


class _LocalQueueStatus(_Read):
    conditions: list[_Condition] = []


class _LocalQueue(_Read):
    metadata: _Metadata
    spec: _LocalQueueSpec
    status: _LocalQueueStatus | None = None


class _Toleration(_Read):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class _FlavorSpec(_Read):
    node_labels: dict[str, str] = {}
    node_taints: list[_Taint] = []
    tolerations: list[_Toleration] = []


class _Flavor(_Read):
    metadata: _Metadata
    spec: _FlavorSpec | None = None


_KINDS: Mapping[str, type[_Read]] = {
    "Node": _Node,
    "Pod": _Pod,
    "LocalQueue": _LocalQueue,
    "ClusterQueue": _ClusterQueue,
    "Cohort": _ClusterQueue,
    "ResourceFlavor": _Flavor,
}
