"""The kinds of accelerator: what is known of each (builtin.yaml and what a cluster's owner adds), and who has which."""

from __future__ import annotations

from finetune_operator.sizing.hardware.row import PRODUCT_LABEL, Hardware, Interconnect, Price
from finetune_operator.sizing.hardware.table import CPU, UNLABELLED_GPU, Table, UnknownAccelerator, builtin

__all__ = [
    "CPU",
    "PRODUCT_LABEL",
    "UNLABELLED_GPU",
    "Hardware",
    "Interconnect",
    "Price",
    "Table",
    "UnknownAccelerator",
    "builtin",
    "find",
    "known_names",
    "of_product",
    "table",
]


def table() -> tuple[Hardware, ...]:
    return builtin().rows


def find(name: str) -> Hardware | None:
    return builtin().find(name)


def of_product(product: str) -> Hardware | None:
    return next((row for row in builtin() if product in row.products), None)


def known_names() -> list[str]:
    return list(builtin().known_names())
