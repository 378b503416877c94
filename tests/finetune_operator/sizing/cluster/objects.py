"""Nodes, pods and Kueue's objects as the API server gives them, as far as sizing looks at them."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
TAINT = {"key": "dedicated", "value": "team-b", "effect": "NoSchedule"}
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def node(
    name: str = "gpu-1",
    product: str | None = "NVIDIA-L4",
    *,
    gpus: int = 8,
    ready: bool = True,
    cordoned: bool = False,
    labels: dict[str, str] | None = None,
    taints: list[Object] | None = None,
    allocatable: Object | None = None,
) -> Object:
    """A node with GPUs."""
    product_label = {"nvidia.com/gpu.product": product} if product else {}
    return {
        "metadata": {"name": name, "labels": {**product_label, **(labels or {})}},
        "spec": {"unschedulable": cordoned, "taints": taints or []},
        "status": {
            "allocatable": {
                "cpu": "15890m",
                "memory": "62Gi",
                **({"nvidia.com/gpu": str(gpus)} if gpus else {}),
                **(allocatable or {}),
            },
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def container(requests: Object | None = None, limits: Object | None = None, **more: Any) -> Object:
    """A container as far as the scheduler looks at it."""
    return {"name": "c", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def pod(
    *containers: Object, on: str | None = "gpu-1", phase: str = "Running", init: list[Object] | None = None, **spec: Any
) -> Object:
    """A pod, bound to a node or not."""
    bound = {"nodeName": on} if on else {}
    return {
        "spec": {"containers": list(containers), "initContainers": init or [], **bound, **spec},
        "status": {"phase": phase},
    }


def gpu_pod(gpus: int, *, on: str = "gpu-1", phase: str = "Running") -> Object:
    """A pod that holds GPUs."""
    return pod(container(limits={"nvidia.com/gpu": str(gpus)}), on=on, phase=phase)


def local_queue(name: str = "team-a", cluster_queue: str = "research", **spec: Any) -> Object:
    """Where jobs of a namespace are put."""
    return {"metadata": {"name": name}, "spec": {"clusterQueue": cluster_queue, **spec}}


def quota(nominal: int | str, *, borrowing: int | None = None, lending: int | None = None) -> Object:
    """Of one resource in one flavour, without the resource's name."""
    limits = {"borrowingLimit": borrowing, "lendingLimit": lending}
    return {"nominalQuota": str(nominal), **{key: str(limit) for key, limit in limits.items() if limit is not None}}


def cluster_queue(
    name: str = "research",
    flavors: dict[str, dict[str, Object]] | None = None,
    *,
    used: dict[str, dict[str, int]] | None = None,
    **spec: Any,
) -> Object:
    """One resource group: flavour to resource to quota."""
    flavors = {"l4": {"nvidia.com/gpu": quota(4)}} if flavors is None else flavors
    rows = [
        {"name": flavor, "resources": [{"name": resource, **row} for resource, row in resources.items()]}
        for flavor, resources in flavors.items()
    ]
    covered = list(next(iter(flavors.values()))) if flavors else []
    reserved = [
        {"name": flavor, "resources": [{"name": resource, "total": str(total)} for resource, total in totals.items()]}
        for flavor, totals in (used or {}).items()
    ]
    return {
        "metadata": {"name": name},
        "spec": {"resourceGroups": [{"coveredResources": covered, "flavors": rows}] if rows else [], **spec},
        "status": {"flavorsReservation": reserved, "conditions": [{"type": "Active", "status": "True"}]},
    }


def flavor(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A ResourceFlavor."""
    return {"metadata": {"name": name}, "spec": {"nodeLabels": labels or {}, **spec}}
