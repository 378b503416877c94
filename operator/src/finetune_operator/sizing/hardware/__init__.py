"""The kinds of accelerator: what is known of each (builtin.yaml and what a cluster's owner adds), and who has which."""

from finetune_operator.sizing.hardware.row import (
    PARTITION_LABEL,
    PRODUCT_LABEL,
    SHARING_LABELS,
    Hardware,
    Interconnect,
    Price,
)
from finetune_operator.sizing.hardware.table import CPU, UNLABELLED_GPU, Table, UnknownAccelerator, builtin

__all__ = [
    "CPU",
    "PARTITION_LABEL",
    "PRODUCT_LABEL",
    "SHARING_LABELS",
    "UNLABELLED_GPU",
    "Hardware",
    "Interconnect",
    "Price",
    "Table",
    "UnknownAccelerator",
    "builtin",
]
