"""What a job runs on and how it is split, before it starts. Later it stands in status and is not asked again."""

from __future__ import annotations

from collections.abc import Iterable

from finetune_api.job import FineTuneJob
from finetune_api.spec.resources import ResourcesSpec
from finetune_api.spec.training import TrainingSpec
from finetune_api.status import Sizing
from finetune_operator.sizing import batch, choose, defaults
from finetune_operator.sizing.choose import Node
from finetune_operator.sizing.hardware import Hardware, Table


def size(job: FineTuneJob, nodes: Iterable[Node], table: Table) -> Sizing:
    """Work out what the job leaves open.

    Raises:
        SizingError: nothing fits; the text says why and what would.
    """
    return roughly(choose.accelerator(job.spec.resources or ResourcesSpec(), nodes, table), job)


def roughly(row: Hardware, job: FineTuneJob) -> Sizing:
    """Where nothing is known of the model: a small micro-batch on one accelerator, halved when memory runs out."""
    training = job.spec.training or TrainingSpec()
    packing = defaults.PACKING if training.packing is None else training.packing
    effective = batch.effective_batch_size(training.effective_batch_size)
    micro = batch.micro_batch_size(effective=effective, asked=training.micro_batch_size, packing=packing)
    checkpointing = training.gradient_checkpointing
    return Sizing(
        accelerator=row.name,
        count=0 if row.resource is None else 1,
        nodes=1,
        gpus=0 if row.resource is None else 1,
        micro_batch_size=micro,
        gradient_accumulation_steps=batch.accumulation(micro, effective=effective, packing=packing),
        gradient_checkpointing=row.device == "gpu" if checkpointing is None else checkpointing,
    )


def with_micro_batch(sizing: Sizing, micro: int, *, job: FineTuneJob) -> Sizing:
    """The same with another micro-batch: accumulation makes up for it."""
    training = job.spec.training or TrainingSpec()
    packing = defaults.PACKING if training.packing is None else training.packing
    effective = batch.effective_batch_size(training.effective_batch_size)
    steps = batch.accumulation(micro, effective=effective, packing=packing)
    return sizing.model_copy(update={"micro_batch_size": micro, "gradient_accumulation_steps": steps})
