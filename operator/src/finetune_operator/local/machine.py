"""The GPUs of this machine, as a node of a cluster would show them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetune_operator.sizing.hardware import PRODUCT_LABEL, Table, UnknownAccelerator

RESOURCE = "nvidia.com/gpu"
_NVIDIA_SMI_SECONDS = 30


def gpus() -> list[str]:
    """The names of the NVIDIA GPUs, as the driver lists them; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listed = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_NVIDIA_SMI_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip()] if listed.returncode == 0 else []


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine. GPUs of several kinds count as that of the first: a run takes those of one kind."""

    gpus: Sequence[str] = ()

    def nodes(self, table: Table) -> list[dict[str, Any]]:
        """It as a node; a kind that the table does not know is one that nothing is known of."""
        if not self.gpus:
            return []
        first = self.gpus[0]
        # GPU feature discovery writes the driver's name so
        labels = {PRODUCT_LABEL: first.replace(" ", "-")}
        node: dict[str, Any] = {
            "metadata": {"name": "this machine", "labels": labels},
            "status": {"allocatable": {RESOURCE: str(self.gpus.count(first))}},
        }
        if isinstance(table.of_node(node), UnknownAccelerator):
            node["metadata"]["labels"] = {}
        return [node]
