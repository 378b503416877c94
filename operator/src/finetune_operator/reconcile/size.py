"""What the job runs on: worked out before the first attempt, and from then on what stands in status."""

from __future__ import annotations

from finetune_api.conditions import Type
from finetune_api.names import ACCELERATOR_LABEL
from finetune_api.status import Sizing
from finetune_operator.reconcile.conclude import fail
from finetune_operator.reconcile.draft import Draft, Step, is_child, label
from finetune_operator.sizing.choose import SizingError
from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.size import size as work_out
from finetune_operator.sizing.size import roughly


def size(draft: Draft) -> Step:
    """Fill status.sizing, or fail where nothing fits."""
    if draft.sizing is None or not draft.attempts:
        row = _settled(draft)
        try:
            draft.sizing = (
                roughly(row, draft.job)
                if row is not None
                else work_out(draft.job, draft.seen.nodes, draft.seen.hardware)
            )
        except SizingError as error:
            draft.sizing = None
            draft.conditions.set(Type.SIZED, False, "NothingFits", str(error))
            fail(draft, "NothingFits", str(error))
            return Step.DONE
    say_sized(draft, draft.sizing)
    return Step.GO_ON


def _settled(draft: Draft) -> Hardware | None:
    """The accelerator of an attempt that status does not know of yet: the nodes may have changed since it was begun."""
    for child in (*draft.seen.config_maps, *draft.seen.jobs):
        if is_child(child, draft.job) and (name := label(child, ACCELERATOR_LABEL)) is not None:
            return draft.seen.hardware.find(name)
    return None


def say_sized(draft: Draft, sizing: Sizing) -> None:
    """The condition's sentence; a later attempt may have another micro-batch."""
    what = "CPU" if sizing.count == 0 else f"{sizing.count} {sizing.accelerator}"
    accumulated = sizing.gradient_accumulation_steps
    batch = f"micro-batch {sizing.micro_batch_size}" + (f", {accumulated} accumulated" if accumulated else "")
    draft.conditions.set(Type.SIZED, True, "Sized", f"{what} on {sizing.nodes} node; {batch}")
