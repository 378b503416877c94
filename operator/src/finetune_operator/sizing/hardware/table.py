"""The hardware table: the kinds of accelerator that are known, and which of them a node has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import yaml

from finetune_operator.sizing.hardware.row import INSTANCE_TYPE_LABEL, PRODUCT_LABEL, SHARING_LABELS, Hardware

CPU = "cpu"
UNLABELLED_GPU = "nvidia-gpu"
STALE = timedelta(days=365)
"""A price that is older is warned of."""

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UnknownAccelerator:
    """Accelerators of a node that are of no kind that the table has."""

    node: str
    resource: str
    label: str = ""
    """That would tell the kind; empty: no row has the resource."""
    value: str = ""
    """Of the label; empty: the node does not have it."""

    def __str__(self) -> str:
        if not self.label:
            why, how = "no row has this resource", f"resource: {self.resource}"
        elif not self.value:
            why, how = f"it has no label {self.label}", f"resource: {self.resource} and no products"
        else:
            of_label = "" if self.label == PRODUCT_LABEL else f"resource: {self.resource}, label: {self.label} and "
            why, how = f"its label {self.label} is {self.value}", f"{of_label}products: [{self.value}]"
        return (
            f"node {self.node} has {self.resource} of a kind that the hardware table does not know: {why}; "
            f"add a row with {how} to the chart's value hardware"
        )


@dataclass(frozen=True)
class Table:
    """All kinds, in the order in which they are shown."""

    rows: tuple[Hardware, ...]
    _by_name: dict[str, Hardware] = field(init=False, repr=False, compare=False)
    _by_telling: dict[tuple[str, str, str], Hardware] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = {name.casefold(): row for row in reversed(self.rows) for name in (row.name, *row.aliases)}
        tellings = {
            (row.resource or "", label, value): row for row in reversed(self.rows) for label, value in row.tellings()
        }
        object.__setattr__(self, "_by_name", names)
        object.__setattr__(self, "_by_telling", tellings)

    def __iter__(self) -> Iterator[Hardware]:
        return iter(self.rows)

    def find(self, name: str) -> Hardware | None:
        """The kind of that name or alias, whatever its case; None: there is none."""
        return self._by_name.get(name.casefold())

    def row(self, name: str) -> Hardware:
        """The same where it must be there. LookupError: it is not."""
        found = self.find(name)
        if found is None:
            raise LookupError(f"the hardware table has no {name}; it has {', '.join(self.known_names())}")
        return found

    def known_names(self) -> Sequence[str]:
        """What may be written as spec.resources.accelerator."""
        return [row.name for row in self.rows]

    @cached_property
    def resources(self) -> tuple[str, ...]:
        """Extended resources that some row has."""
        return tuple(dict.fromkeys(row.resource for row in self.rows if row.resource))

    @cached_property
    def _labels(self) -> Mapping[str, tuple[str, ...]]:
        """Of each resource, the labels of products that tell its kind."""
        return {
            resource: tuple(dict.fromkeys(row.label for row in self.rows if row.resource == resource and row.products))
            for resource in self.resources
        }

    @cached_property
    def _other_labels(self) -> Mapping[str, tuple[str, ...]]:
        """Of each resource, the labels that tell its kind where a node has none of those."""
        return {
            resource: tuple(
                dict.fromkeys(label for row in self.rows if row.resource == resource for label in row.other_labels)
            )
            for resource in self.resources
        }

    def of_node(self, node: Node) -> Hardware | UnknownAccelerator | None:
        """What the node has: one of `kinds_of_node`, the one with the most memory first; None: no accelerator."""
        found = self.kinds_of_node(node)
        known = [kind for kind in found if isinstance(kind, Hardware)]
        if known:
            return max(known, key=lambda kind: kind.memory_gib or 0.0)
        return found[0] if found else None

    def kinds_of_node(self, node: Node) -> list[Hardware | UnknownAccelerator]:
        """Each kind that the node has. There are several where its GPUs are sliced in different ways (MIG, mixed)."""
        allocatable = node.get("status", {}).get("allocatable", {})
        vendors = {resource.partition("/")[0] for resource in self.resources}
        held = [name for name, count in sorted(allocatable.items()) if str(count) != "0"]
        return [self._kind(node, name) for name in held if name.partition("/")[0] in vendors]

    def _kind(self, node: Node, resource: str) -> Hardware | UnknownAccelerator:
        metadata = node.get("metadata", {})
        name, labels = str(metadata.get("name", "")), metadata.get("labels") or {}
        telling = self._labels.get(resource, ())
        said = [(label, str(labels[label])) for label in telling if labels.get(label)]
        shared = [(label, str(labels[label])) for label in SHARING_LABELS if labels.get(label)]
        others = [(label, str(labels[label])) for label in self._other_labels.get(resource, ()) if labels.get(label)]
        for label, value in said or ([] if shared else others):
            if (row := self._by_telling.get((resource, label, value))) is not None:
                return row
        unknown = said or shared or [each for each in others if each[0] != INSTANCE_TYPE_LABEL]
        if unknown:
            return UnknownAccelerator(name, resource, *unknown[0])
        unlabelled = next((row for row in self.rows if row.resource == resource and not row.products), None)
        return unlabelled or UnknownAccelerator(name, resource, next(iter(telling), ""))

    def stale_prices(self, today: date) -> str | None:
        """A warning that names the rows whose prices are over a year old; None: there are none."""
        old = [row for row in self.rows if row.price is not None and today - row.price.date > STALE]
        if not old:
            return None
        oldest = min(row.price.date for row in old if row.price is not None)
        return (
            f"prices in the hardware table are over a year old (the oldest of {oldest}), so costs are rough: "
            f"{', '.join(row.name for row in old)}; give newer ones in the chart's value hardware"
        )


@cache
def builtin() -> Table:
    """The table that comes with the operator."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    return Table(tuple(Hardware.model_validate(row) for row in yaml.load(builtin_text(), Loader=loader)))


def builtin_text() -> str:
    """Its file."""
    return files(__package__).joinpath("builtin.yaml").read_text(encoding="utf-8")
