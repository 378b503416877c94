"""What the job runs on: worked out before the first attempt, and from then on what stands in status."""

from __future__ import annotations

from finetune_api.conditions import Type
from finetune_api.names import ACCELERATOR_LABEL
from finetune_api.status import Sizing
from finetune_operator.duration import duration
from finetune_operator.reconcile.conclude import fail
from finetune_operator.reconcile.draft import Draft, Step, is_child, label
from finetune_operator.reconcile.plan import Event
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.cluster.offers import available
from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.job import Sized, pod_demand
from finetune_operator.sizing.job import size as work_out
from finetune_operator.sizing.known import data_facts, model_facts
from finetune_operator.sizing.models.keys import ModelError
from finetune_operator.sizing.split import roughly


def size(draft: Draft) -> Step:
    """Fill status.sizing, or fail where nothing fits, or nobody can tell.

    It stands in status before anything is made of it, and from then on it is not asked again: nodes come and go.
    """
    made = _made_for(draft)
    if made is not None and draft.sizing is None:
        # Status was lost, and what it was sized by may be gone too. What runs is not stopped for that.
        draft.sizing = roughly(made, draft.job)
    elif draft.sizing is None or not (made or draft.attempts):
        try:
            _fill(draft, _sized(draft))
        except ModelError as error:
            return _refuse(draft, "ModelUnknown", str(error))
        except SizingError as error:
            return _refuse(draft, "NothingFits", str(error))
    if draft.sizing is not None:
        say_sized(draft, draft.sizing)
    return Step.GO_ON


def _made_for(draft: Draft) -> Hardware | None:
    """The accelerator that children of an attempt were made for; None: there are none."""
    for child in (*draft.seen.config_maps, *draft.seen.jobs):
        if is_child(child, draft.job) and (name := label(child, ACCELERATOR_LABEL)) is not None:
            return draft.seen.hardware.find(name)
    return None


def _sized(draft: Draft) -> Sized:
    job, seen, settings, read = draft.job, draft.seen, draft.settings, draft.inspection
    wanted = pod_demand(job, cpu=settings.trainer.cpu, memory=settings.trainer.memory)
    there = available(
        seen.nodes, seen.usage, wanted, seen.hardware, to_come=settings.nodes_to_come, awaited=seen.awaited
    )
    return work_out(
        job,
        model=model_facts(job.spec.model, config=read.model_keys() if read is not None else None),
        data=data_facts(read),
        available=there,
        table=seen.hardware,
        today=draft.now.date(),
    )


def _fill(draft: Draft, sized: Sized) -> None:
    draft.sizing = sized.sizing
    draft.advice = list(sized.advice) or None
    for each in draft.advice or ():
        if each not in (draft.before.advice or ()):
            # one each: together they would be longer than an event may be
            draft.tell(Event("Normal", "Advice", f"{each.code}: {each.message}"))


def _refuse(draft: Draft, reason: str, message: str) -> Step:
    draft.sizing = None
    draft.conditions.set(Type.SIZED, False, reason, message)
    fail(draft, reason, message)
    return Step.DONE


def say_sized(draft: Draft, sizing: Sizing) -> None:
    """The condition's sentence; a later attempt may have another micro-batch."""
    draft.conditions.set(Type.SIZED, True, "Sized", sentence(sizing))


def sentence(sizing: Sizing) -> str:
    """What was chosen, in a line."""
    what = "CPU" if sizing.count == 0 else f"{sizing.count} {sizing.accelerator}"
    accumulated = sizing.gradient_accumulation_steps
    said = [
        f"{what} on {sizing.nodes} node{'s' if sizing.nodes > 1 else ''}",
        f"micro-batch {sizing.micro_batch_size}" + (f", {accumulated} accumulated" if accumulated else ""),
    ]
    memory = sizing.memory
    if memory is not None and memory.required_gib is not None:
        of = f" of {memory.available_gib:.1f}" if memory.available_gib is not None else ""
        said.append(f"needs {memory.required_gib:.1f}{of} GiB each")
    if sizing.estimated_seconds is not None:
        said.append(f"about {duration(sizing.estimated_seconds)}")
    if sizing.estimated_cost_usd is not None:
        said.append(f"about ${sizing.estimated_cost_usd:.2f}")
    return "; ".join([*said, *(sizing.notes or ())])
