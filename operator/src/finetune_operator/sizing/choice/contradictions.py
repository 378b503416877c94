"""What of a request cannot be whatever it runs on."""

from __future__ import annotations

from finetune_operator.sizing.batch import largest_divisor
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.choice.request import Request, shardable


def check(request: Request) -> None:
    """Refuse what contradicts itself.

    Raises:
        SizingError: with the field, what is wrong with it, and what to write.
    """
    training, resources, dropout = request.training, request.resources, request.adapter.dropout
    asked, limit = training.max_sequence_length, request.architecture.max_positions
    if asked is not None and limit is not None and asked > limit:
        raise SizingError(
            f"spec.training.maxSequenceLength: {asked} tokens, but the model has {limit} positions; ask for no more"
        )
    if training.precision == "fp32" and training.attention in ("flashAttention2", "flashAttention3"):
        raise SizingError(f"spec.training.attention: {training.attention} needs half precision; leave precision out")
    if training.sharding == "fsdp" and not shardable(training.optimizer):
        raise SizingError(
            f"spec.training.optimizer: {training.optimizer} is bitsandbytes', which can't update weights that are "
            "sharded; use adamw, or training.sharding: ddp"
        )
    if dropout and request.adapts_experts:
        raise SizingError(
            f"spec.adapter.dropout: {dropout:g} can't be, because the model's experts get an adapter, which is added "
            "to their weights; set it to 0 or leave it out, or name attention's layers alone in adapter.targetModules"
        )
    if training.packing and request.architecture.recurrent:
        raise SizingError(
            f"spec.training.packing: true can't be, because layers of {request.architecture.model_type} carry a state "
            "from one example of a pack to the next; set it to false or leave it out"
        )
    nodes = resources.nodes or 1
    if nodes > request.max_nodes:
        raise SizingError(f"spec.resources.nodes: at most {request.max_nodes} can be used; lower it")
    if resources.count is None or resources.count == 0:
        return
    accelerators = resources.count * nodes
    if accelerators > 1 and training.sharding == "none":
        raise SizingError(
            f"spec.training.sharding: none is for one accelerator, and {accelerators} are asked for; "
            "use ddp or fsdp, or leave it out"
        )
    alone = resources.count * (resources.nodes or request.max_nodes) == 1
    if alone and training.sharding in ("ddp", "fsdp"):
        raise SizingError(
            f"spec.training.sharding: {training.sharding} is for several accelerators, and 1 is asked for; leave it out"
        )
    _shared_evenly(request, accelerators)


def _shared_evenly(request: Request, accelerators: int) -> None:
    if request.can_be_shared(accelerators):
        return
    effective = request.effective_batch_size
    nodes = request.resources.nodes or 1
    most = max(1, accelerators // nodes)
    fits = largest_divisor(effective, limit=most) if nodes == 1 else None
    instead = f"use {fits}, or " if fits is not None else ""
    up = -(-effective // accelerators) * accelerators
    raise SizingError(
        f"spec.resources.count: {effective} examples per step can't be shared evenly by {accelerators} accelerators; "
        f"{instead}training.effectiveBatchSize: {up}"
    )
