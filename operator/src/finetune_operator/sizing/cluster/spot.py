"""Nodes that a cloud may take away: how they are told, and what `resources.spot` makes of that.

Labels and taints are the clouds' own, from their documentation: GKE ("Spot VMs", "Preemptible VMs"), EKS ("Managed node
groups"), AKS ("Add a spot node pool") and Karpenter ("Well-known labels").
"""

from __future__ import annotations

from typing import Any

LABELS = {
    "cloud.google.com/gke-spot": "true",
    "cloud.google.com/gke-preemptible": "true",
    "eks.amazonaws.com/capacityType": "SPOT",
    "karpenter.sh/capacity-type": "spot",
    "kubernetes.azure.com/scalesetpriority": "spot",
}
"""Of such nodes."""
_TAINTS = {"cloud.google.com/gke-spot": "true", "kubernetes.azure.com/scalesetpriority": "spot"}
"""By which some clouds keep away what does not ask for them."""


def tolerations(spot: bool | None) -> list[dict[str, Any]]:
    """What lets a pod onto such nodes, where it may go there."""
    if not spot:
        return []
    return [{"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"} for key, value in _TAINTS.items()]


def requirements(spot: bool | None) -> list[dict[str, Any]]:
    """What keeps a pod from them, where it must not go there. Said nothing of, it goes wherever it may."""
    if spot is not False:
        return []
    return [{"key": key, "operator": "NotIn", "values": [value]} for key, value in LABELS.items()]
