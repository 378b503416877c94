"""Nodes that only the API server and the scheduler know of: pods that are placed on them never start.

They show where jobs would run without the hardware. As on real GPU nodes, a taint keeps away what asks for no GPU.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from subprocess import TimeoutExpired
from typing import Any

from e2e.kubectl import Kubectl, KubectlError

RESOURCE = "nvidia.com/gpu"
LEASES = "kube-node-lease"
HEARTBEAT_SECONDS = 10.0
"""The node controller taints a node that has been silent for 40 s or more."""


@dataclass(frozen=True, slots=True)
class Node:
    """What the node says of its GPUs: the label of GPU feature discovery, and how many there are."""

    product: str
    count: int


@contextmanager
def nodes(kube: Kubectl, wanted: Mapping[str, Node]) -> Iterator[None]:
    """The nodes, by their names, ready until the end."""
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(kube, tuple(wanted), stop), name="heartbeat", daemon=True)
    try:
        for name, node in wanted.items():
            _create(kube, name, node)
        heart.start()
        yield
    finally:
        stop.set()
        if heart.is_alive():
            heart.join()
        for name in wanted:
            kube.delete("node", name, wait=False)
            kube.run("-n", LEASES, "delete", "lease", name, "--ignore-not-found")


def volume(name: str, path: str) -> dict[str, Any]:
    """A PersistentVolume that is at hand on every node: a folder of this machine, for those that are really here.

    The cluster's own StorageClass makes volumes on the node that a pod is placed on, where that is a real one.
    """
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Ti"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": name,
            "hostPath": {"path": path},
        },
    }


def _create(kube: Kubectl, name: str, node: Node) -> None:
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "nvidia.com/gpu.product": node.product}
    taint = {"key": RESOURCE, "value": "present", "effect": "NoSchedule"}
    # what can run on a node that is really here, such as the pod that reads a job's inputs, is to go there
    last = {"key": "pretended", "effect": "PreferNoSchedule"}
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": [taint, last]},
        }
    )
    amounts = {"cpu": "192", "memory": "2Ti", "ephemeral-storage": "1Ti", "pods": "110", RESOURCE: str(node.count)}
    now = _now()
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Pretended",
        "message": "nothing runs here",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    status = {"status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}}
    kube("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))


def _beat(kube: Kubectl, names: tuple[str, ...], stop: threading.Event) -> None:
    """What a kubelet does every ten seconds."""
    leases = Kubectl(kube.env, LEASES)
    while not stop.is_set():
        for name in names:
            spec = {
                "holderIdentity": name,
                "leaseDurationSeconds": 40,
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            }
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
            with suppress(KubectlError, TimeoutExpired):  # three may be missed, and the thread must not end
                leases.apply(lease)
        stop.wait(HEARTBEAT_SECONDS)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
