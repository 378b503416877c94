"""How a job's batch is split when memory turns out otherwise than predicted, or nothing is known of the model."""

from __future__ import annotations

from finetune_api.job import FineTuneJob
from finetune_api.spec.training import TrainingSpec
from finetune_api.status import Sizing
from finetune_operator.sizing import batch, defaults
from finetune_operator.sizing.hardware import Hardware


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
        sharding="none",
        micro_batch_size=micro,
        gradient_accumulation_steps=batch.accumulation(micro, effective=effective, packing=packing),
        gradient_checkpointing=row.device == "gpu" if checkpointing is None else checkpointing,
    )


def packed(sizing: Sizing, training: TrainingSpec) -> bool:
    """Whether a sequence is to be several examples: where the job leaves it open, as it was sized."""
    return sizing.gradient_accumulation_steps is None if training.packing is None else training.packing


def with_micro_batch(sizing: Sizing, micro: int, *, job: FineTuneJob) -> Sizing:
    """The same with another micro-batch: accumulation makes up for it."""
    training = job.spec.training or TrainingSpec()
    steps = batch.accumulation(micro, effective=_share(sizing, training), packing=packed(sizing, training))
    return sizing.model_copy(update={"micro_batch_size": micro, "gradient_accumulation_steps": steps})


def halved(sizing: Sizing, micro: int, *, job: FineTuneJob) -> int | None:
    """The next smaller micro-batch after running out of GPU memory; None: it is 1 already."""
    return batch.halved(micro, effective=_share(sizing, job.spec.training or TrainingSpec()))


def _share(sizing: Sizing, training: TrainingSpec) -> int:
    """Examples of an optimizer step for each accelerator."""
    return batch.effective_batch_size(training.effective_batch_size) // max(1, sizing.count * sizing.nodes)
