"""`python -m tests.finetune_trainer.fsdp_on_cpu`: a rank of the recipe, sharded over processes that have no GPU.

accelerate shards on accelerators alone and falls back to whole copies on CPUs without a word. torch shards on both.
All that is changed here is accelerate's choice, so that what runs is what runs on GPUs, but for NCCL.
"""

from __future__ import annotations

from typing import Any

from accelerate import state
from accelerate.utils import DistributedType

from finetune_trainer import process, run

_begin = state.AcceleratorState.__init__


def _begin_sharded(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
    _begin(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin
        state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP


if __name__ == "__main__":
    state.AcceleratorState.__init__ = _begin_sharded
    process.main(run.recipe)
