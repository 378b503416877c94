"""What the pods of a cluster have been given, as the scheduler counts it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, MutableMapping
from decimal import Decimal
from typing import Any

from finetune_operator.sizing.quantity import amount

Object = Mapping[str, Any]
Amounts = Mapping[str, Decimal]
Usage = Mapping[str, Amounts]
"""Of each node, by its name: resource to what is requested of it."""

_TERMINAL = ("Succeeded", "Failed")


def requested(pods: Iterable[Object]) -> Usage:
    """What is taken on each node. A pod that has ended or has no node yet takes nothing."""
    taken: defaultdict[str, defaultdict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and pod.get("status", {}).get("phase") not in _TERMINAL:
            add(taken[node], of_pod(pod["spec"]))
    return taken


def together(usages: Iterable[Usage]) -> Usage:
    """The sum of what each of them says is taken."""
    taken: defaultdict[str, defaultdict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for usage in usages:
        for node, amounts in usage.items():
            add(taken[node], amounts)
    return taken


def of_pod(spec: Object) -> Amounts:
    """What one pod requests.

    Containers run together, init containers one after the other before them, and those of the latter that are to be
    restarted always (sidecars) go on running beside all that follow: the most at any time, and the pod's overhead
    (kubernetes/enhancements KEP-753, "Resources calculation for scheduling and pod admission"). What is said of the
    pod as a whole stands instead (KEP-2837).
    """
    running: defaultdict[str, Decimal] = defaultdict(Decimal)
    most: defaultdict[str, Decimal] = defaultdict(Decimal)
    for container in spec.get("initContainers") or ():
        own = _requests(container)
        if container.get("restartPolicy") == "Always":
            add(running, own)
            own = {}
        for resource in {*running, *own}:
            most[resource] = max(most[resource], running[resource] + own.get(resource, Decimal()))
    for container in spec["containers"]:
        add(running, _requests(container))
    for resource, number in running.items():
        most[resource] = max(most[resource], number)
    most.update(_requests(spec))
    for resource, number in _amounts(spec.get("overhead")).items():
        most[resource] += number
    return most


def _requests(container: Object) -> Amounts:
    """A limit without a request is one."""
    resources = container.get("resources") or {}
    return {**_amounts(resources.get("limits")), **_amounts(resources.get("requests"))}


def _amounts(quantities: Object | None) -> dict[str, Decimal]:
    return {resource: amount(quantity) for resource, quantity in (quantities or {}).items()}


def add(total: MutableMapping[str, Decimal], more: Amounts) -> None:
    """Make the total larger by so much of each resource."""
    for resource, number in more.items():
        total[resource] = total.get(resource, Decimal()) + number
