"""Which accelerator a job gets: the one it names, else the one with the most memory that the nodes have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from finetune_api.spec.resources import ResourcesSpec
from finetune_operator.sizing.hardware import (
    CPU,
    PRODUCT_LABEL,
    UNLABELLED_GPU,
    Hardware,
    find,
    known_names,
    of_product,
    table,
)

Node = Mapping[str, Any]


class SizingError(ValueError):
    """Nothing fits; the text says which field, why, and what would."""


def accelerator(asked: ResourcesSpec, nodes: Iterable[Node]) -> Hardware:
    """The kind of accelerator to run on.

    Raises:
        SizingError: there is no kind of that name, or the count contradicts it.
    """
    if asked.accelerator is not None:
        row = find(asked.accelerator)
        if row is None:
            raise SizingError(
                f'spec.resources.accelerator: there is no kind "{asked.accelerator}"; '
                f"there are {', '.join(known_names())}"
            )
    elif asked.count == 0:
        row = _row(CPU)
    else:
        row = max(_present(nodes), key=lambda present: present.memory_gib or 0.0, default=_row(CPU))
    if row.resource is not None and asked.count == 0:
        raise SizingError(
            f"spec.resources.count: 0 means no accelerator, and {row.name} is one; use 1, or accelerator: cpu"
        )
    return row


def _present(nodes: Iterable[Node]) -> list[Hardware]:
    """The kinds of GPU that some node has. One that the table does not know has no name of its own."""
    found = []
    for node in nodes:
        allocatable = node.get("status", {}).get("allocatable", {})
        labels = node.get("metadata", {}).get("labels", {})
        for resource in {row.resource for row in table() if row.resource}:
            if str(allocatable.get(resource, "0")) != "0":
                found.append(of_product(labels.get(PRODUCT_LABEL, "")) or _row(UNLABELLED_GPU))
    return found


def _row(name: str) -> Hardware:
    row = find(name)
    if row is None:
        raise LookupError(f"hardware.yaml has no {name}")
    return row
