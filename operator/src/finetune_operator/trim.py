"""What is kept of an object: what a decision reads. The rest of it is most of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune_operator.kinds import CONFIG_MAP, JOB, NODE, POD, Kind

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Its place is beside the object: with it, an object of which nothing that matters has changed would look changed.
VERSION = "resourceVersion"


def trim(kind: Kind, obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object with only what decisions read, sharing its parts with the given one."""
    metadata = {k: v for k, v in obj.get("metadata", {}).items() if k not in ("managedFields", "selfLink", VERSION)}
    if LAST_APPLIED in metadata.get("annotations", {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    kept: dict[str, Any] = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    spec, status = obj.get("spec", {}), obj.get("status", {})
    if kind == CONFIG_MAP:
        return kept  # its data is written once and read by the trainer alone
    if kind == JOB:
        # The template is a copy of what the builder made. Who suspends and who queues is told by the rest.
        return {**kept, "spec": {k: v for k, v in spec.items() if k != "template"}, "status": status}
    if kind == POD:
        return {**kept, "spec": _only(spec, "nodeName", "priorityClassName"), "status": status}
    if kind == NODE:
        return _trim_node(kept, spec, status)
    return {**kept, "spec": spec, "status": status}


def _trim_node(kept: dict[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    ready = [_only(c, "type", "status") for c in status.get("conditions", []) if c.get("type") == "Ready"]
    return {
        **kept,
        "metadata": _only(kept["metadata"], "name", "uid", "labels"),
        "spec": _only(spec, "taints", "unschedulable"),
        "status": {**_only(status, "allocatable", "capacity"), "conditions": ready},
    }


def _only(of: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: of[name] for name in names if name in of}
