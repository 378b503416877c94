"""Which accelerator a job gets: the one it names, else the one with the most memory that the nodes have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from finetune_api.spec.resources import ResourcesSpec
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.hardware import CPU, UNLABELLED_GPU, Hardware, Table

__all__ = ["Node", "SizingError", "accelerator"]

Node = Mapping[str, Any]


def accelerator(asked: ResourcesSpec, nodes: Iterable[Node], table: Table) -> Hardware:
    """The kind of accelerator to run on.

    Raises:
        SizingError: there is no kind of that name, or the count contradicts it.
    """
    if asked.accelerator is not None:
        row = table.find(asked.accelerator)
        if row is None:
            raise SizingError(
                f'spec.resources.accelerator: there is no kind "{asked.accelerator}"; '
                f"there are {', '.join(table.known_names())}"
            )
    elif asked.count == 0:
        row = table.row(CPU)
    else:
        row = max(_present(nodes, table), key=lambda present: present.memory_gib or 0.0, default=table.row(CPU))
    if row.resource is not None and asked.count == 0:
        raise SizingError(
            f"spec.resources.count: 0 means no accelerator, and {row.name} is one; use 1, or accelerator: cpu"
        )
    return row


def _present(nodes: Iterable[Node], table: Table) -> list[Hardware]:
    """The kinds of GPU that some node has. One that the table does not know has no name of its own."""
    kinds = [kind for node in nodes for kind in table.kinds_of_node(node)]
    return [kind if isinstance(kind, Hardware) else table.row(UNLABELLED_GPU) for kind in kinds]
