"""How much of a GPU's memory runs take whose sizes are known: what `make gpu-check` measures for the memory model.

A line of JSON for each run, as `python -m bench.sizing --measured FILE` reads them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHAPE = {
    "vocab_size": 128_256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
"""Llama 3.2 1B: 1.24B parameters, and a vocabulary whose logits matter."""
RANK = 16
_PEAK = re.compile(r"peak GPU memory ([\d.]+) GiB, reserved ([\d.]+) GiB")
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Run:
    """One run of two optimizer steps, all of whose sequences are of one length."""

    method: str
    sequence_length: int
    micro_batch_size: int = 1
    gradient_checkpointing: bool = True
    optimizer: str = "adamw"
    loss_kernel: str = "chunked"
    sharding: str = "none"
    processes: int = 1

    @property
    def name(self) -> str:
        """For people."""
        kept = "" if self.gradient_checkpointing else ", no checkpointing"
        shared = "" if self.processes == 1 else f", {self.sharding} on {self.processes}"
        batch = f"{self.micro_batch_size} x {self.sequence_length}"
        return f"1B {self.method} {batch} {self.optimizer} {self.loss_kernel}{kept}{shared}"

    @property
    def accumulation(self) -> int:
        """Forward passes per step: gradients of earlier ones are there too, as in most runs."""
        return 2

    def training(self) -> dict[str, Any]:
        """What of the trainer's `training` it sets."""
        return {
            "maxSteps": 2,
            "maxSequenceLength": self.sequence_length,
            "microBatchSize": self.micro_batch_size,
            "effectiveBatchSize": self.micro_batch_size * self.accumulation * self.processes,
            "packing": False,
            "gradientCheckpointing": self.gradient_checkpointing,
            "optimizer": self.optimizer,
            "lossKernel": self.loss_kernel,
            "sharding": self.sharding,
        }

    def line(self, log: str, config: dict[str, Any], kernel: str) -> str | None:
        """What was measured, as JSON; None where the trainer's log doesn't say."""
        found = _PEAK.search(log)
        if found is None:
            return None
        return json.dumps(
            {
                "measuredBytes": round(float(found[1]) * _GIB),
                "config": config,
                "method": self.method,
                "microBatchSize": self.micro_batch_size,
                "sequenceLength": self.sequence_length,
                "gradientCheckpointing": self.gradient_checkpointing,
                "optimizer": self.optimizer,
                "packed": False,
                "kernel": kernel,
                "rank": RANK,
                "accumulation": self.accumulation,
                "accelerators": self.processes,
                "sharding": self.sharding,
                "engine": {"lossKernel": self.loss_kernel},
            }
        )


RUNS = (
    Run("lora", 2048),
    Run("lora", 2048, gradient_checkpointing=False),
    Run("lora", 2048, micro_batch_size=4),
    Run("lora", 2048, micro_batch_size=4, loss_kernel="eager"),
    Run("qlora", 4096),
    Run("full", 2048),
    Run("full", 2048, optimizer="adamw8bit"),
)


def several(count: int) -> tuple[Run, ...]:
    """The runs of a machine with so many GPUs, beside those on one."""
    if count < 2:
        return ()
    shared = ("ddp", "fsdp")
    return (
        *(Run("lora", 2048, sharding=sharding, processes=count) for sharding in shared),
        *(Run("full", 2048, sharding=sharding, processes=count) for sharding in shared),
        Run("qlora", 2048, sharding="fsdp", processes=count),
    )


def kernel_of(log: str) -> str:
    """Which attention the trainer chose, in the memory model's words."""
    return "flash" if "attention='flash_attention" in log else "sdpa"


def make_rows(path: Path, *, length: int) -> None:
    """Texts of more than `length` tokens of one byte, to be cut there."""
    text = ("what is said here does not matter, only how long it is " * (length // 50 + 1))[: length + 50]
    # no two alike: which side of the split a row stands on depends on what it says
    rows = (json.dumps({"text": f"{number} {text}"}) for number in range(64))
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
