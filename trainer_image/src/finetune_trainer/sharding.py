"""FSDP2 through the switches that transformers and accelerate have for it, and the way back to whole weights.

Every process reads the base model into host memory, where safetensors are mapped and so are there once; each layer is
moved to the GPU, cut, and its other parts dropped, before the next. Under qlora it is the GPU that quantises: there
the whole 4-bit model is on every GPU until it is cut.
"""

from __future__ import annotations

from typing import Any

import torch
from accelerate import accelerator as engine
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy

from finetune_trainer.settings import Sharded

# Transformers' `fsdp_config`. The layers to cut at are the model's own (`_no_split_modules`).
CONFIG = {
    "version": 2,
    "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "reshard_after_forward": True,
    # Each process writes its part of a checkpoint: rank 0 would need host memory for all of it.
    "state_dict_type": "SHARDED_STATE_DICT",
    # The weights are mapped and not copied; to broadcast them would cost more than it saves.
    "cpu_ram_efficient_loading": False,
    # Activation checkpointing is transformers' own: FSDP's forgets the state of the random numbers, so that dropout
    # would hide other numbers when a layer is computed again, and the gradient be one of another function.
}
# Gradients that wait for the next micro-batch wait in parts. Otherwise each GPU holds all of them meanwhile.
ACCELERATOR = {"gradient_accumulation_kwargs": {"sync_each_batch": True}}


_prepare = engine.fsdp2_prepare_model


def arguments(sharded: Sharded | None) -> dict[str, Any]:
    """Of transformers' TrainingArguments."""
    if sharded is None:
        return {}
    engine.fsdp2_prepare_model = cut
    return {"fsdp": True, "fsdp_config": dict(CONFIG), "accelerator_config": dict(ACCELERATOR)}


def policy(sharded: Sharded) -> MixedPrecisionPolicy:
    """What accelerate's FSDP plugin takes as `mixed_precision_policy`.

    Its own would add gradients up in bfloat16 and round the loss to it.
    """
    return MixedPrecisionPolicy(
        param_dtype=getattr(torch, sharded.gathered), reduce_dtype=getattr(torch, sharded.reduced), output_dtype=None
    )


def cut(accelerator: Any, model: Any) -> Any:
    """Shard `model` as accelerate does, and let go of each whole layer once it is cut.

    accelerate 1.15 (utils/fsdp_utils.py, fsdp2_prepare_model) takes the model's state_dict first, for a way of loading
    that is off here, and so holds every old weight until the last one is cut: under qlora on the GPU.
    """
    model.state_dict = dict
    try:
        return _prepare(accelerator, model)
    finally:
        del model.state_dict


def gather_head(model: Any) -> None:
    """Make the output head whole for a loss that takes its weights and never calls it, as TRL's does.

    FSDP2 gathers what is called. Elsewhere TRL gathers the weights itself, past FSDP2, which then doesn't add up their
    gradient over the processes. Does nothing to a model that isn't sharded.
    """
    head = model.get_output_embeddings()
    if isinstance(head, FSDPModule):
        head.unshard()


def gathered(model: Any, *, adapter: bool) -> dict[str, Any]:
    """The whole weights in host memory of rank 0, by name; of an adapter, what is trained alone. Empty elsewhere.

    Every rank must call it.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=adapter)
    weights = dict(get_model_state_dict(model, options=options))
    if not adapter:
        # transformers tells tensors that share memory, which these no longer do: each would be written twice
        for name in model.all_tied_weights_keys:
            weights.pop(name, None)
    return weights
