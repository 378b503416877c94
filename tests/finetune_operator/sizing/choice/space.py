"""Every way to run a job on what there is, written out rule by rule and not searched: what a choice is held against."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from finetune_api.schema import Optimizer, Sharding
from finetune_operator.sizing.choice.arithmetic import Arithmetic
from finetune_operator.sizing.choice.option import Option
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.choice.search import Search, Split
from finetune_operator.sizing.cluster.offer import Availability, Offer
from finetune_operator.sizing.cluster.offers import Available
from finetune_operator.sizing.hardware import Hardware

SHARDINGS: tuple[Sharding, ...] = ("none", "ddp", "fsdp")
OPTIMIZERS: tuple[Optimizer, ...] = ("adamw", "adamw8bit", "pagedAdamw8bit")
"""From the plain one to the last resort."""


def everything(asked: Request, there: Available, arithmetic: Arithmetic, nodes: int) -> Iterator[Option]:
    """Every plan on accelerators of known memory that fits and keeps to the limits."""
    search = Search(asked, arithmetic)
    for offer in there.offers:
        if asked.objection(offer.hardware) is None and offer.hardware.memory_gib is not None:
            for split, micro in _ways(asked, offer, nodes):
                option = search.judged(offer, split, micro)
                if option.fault is None:
                    yield option


def _ways(asked: Request, offer: Offer, nodes: int) -> Iterator[tuple[Split, int]]:
    for count, sharding, checkpointing, optimizer in product(
        range(1, offer.largest + 1), SHARDINGS, (False, True), OPTIMIZERS
    ):
        split = Split(count, nodes, sharding, checkpointing, optimizer)
        if _may_be(asked, offer, split):
            share = asked.effective_batch_size // split.workers
            yield from ((split, micro) for micro in range(1, share + 1) if _may_pass(asked, share, micro))


def _may_be(asked: Request, offer: Offer, split: Split) -> bool:
    training, together = asked.training, split.workers > 1
    return (
        asked.resources.count in (None, split.count)
        and _can_be_shared(asked, split.workers)
        and (split.count == 1 or offer.hardware.interconnect.kind != "none" or asked.resources.count is not None)
        and offer.availability(split.count, split.nodes) != Availability.NEVER
        and training.sharding in (None, split.sharding)
        and (split.sharding != "none") == together
        and training.gradient_checkpointing in (None, split.gradient_checkpointing)
        and training.optimizer in (None, split.optimizer)
        and (split.sharding != "fsdp" or split.optimizer == "adamw")
        and (training.optimizer is not None or split.optimizer == "adamw" or not _in_bf16(asked, offer.hardware))
    )


def _can_be_shared(asked: Request, workers: int) -> bool:
    uneven_packs = asked.packed and asked.resources.count is not None and workers <= asked.effective_batch_size
    return asked.effective_batch_size % workers == 0 or uneven_packs


def _in_bf16(asked: Request, hardware: Hardware) -> bool:
    return asked.method == "full" and asked.precision(hardware) == "bf16"


def _may_pass(asked: Request, share: int, micro: int) -> bool:
    wanted = asked.training.micro_batch_size
    if asked.packed and asked.kernel != "flash":
        return micro == 1
    if wanted is not None:
        return micro == max(size for size in range(1, share + 1) if share % size == 0 and size <= wanted)
    return share % micro == 0
