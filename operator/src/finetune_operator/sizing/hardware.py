"""The kinds of accelerator that are known: one table, hardware.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml

from finetune_api.schema import Schema

CPU = "cpu"
UNLABELLED_GPU = "nvidia-gpu"
PRODUCT_LABEL = "nvidia.com/gpu.product"


class Hardware(Schema):
    """One kind of accelerator."""

    name: str
    """What users write, and what status shows."""
    aliases: tuple[str, ...] = ()
    """Other names for it."""
    resource: str | None = None
    """Extended resource that a pod asks for; None: the CPU, which needs none."""
    products: tuple[str, ...] = ()
    """Values of the node label nvidia.com/gpu.product that are this kind; none: any node that has the resource."""
    memory_gib: float | None = None
    """Memory of one, in GiB (2^30 bytes), as the driver reports it; None: not known."""

    @property
    def device(self) -> Literal["gpu", "cpu"]:
        """What the trainer looks for."""
        return "cpu" if self.resource is None else "gpu"


@cache
def table() -> tuple[Hardware, ...]:
    """All kinds, in the order of their memory."""
    rows = yaml.safe_load(files(__package__).joinpath("hardware.yaml").read_text(encoding="utf-8"))
    return tuple(Hardware.model_validate(row) for row in rows)


def find(name: str) -> Hardware | None:
    """The kind of that name, whatever its case; None: there is none."""
    wanted = name.casefold()
    return next((row for row in table() if wanted in (n.casefold() for n in (row.name, *row.aliases))), None)


def of_product(product: str) -> Hardware | None:
    """The kind that a node's label means; None: it is not in the table."""
    return next((row for row in table() if product in row.products), None)


def known_names() -> Sequence[str]:
    """What may be written as spec.resources.accelerator."""
    return [row.name for row in table()]
