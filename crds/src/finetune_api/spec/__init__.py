"""spec of a FineTuneJob, one file per part."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from finetune_api.schema import Backend, ImageRef, Method, Objective, Schema, Seconds
from finetune_api.spec.dataset import DatasetSpec
from finetune_api.spec.evaluation import EvaluationSpec
from finetune_api.spec.model import ModelSpec
from finetune_api.spec.output import OutputSpec, TrackingSpec
from finetune_api.spec.pod import PodTemplate
from finetune_api.spec.resources import CheckpointSpec, ResourcesSpec, RetrySpec, StorageSpec
from finetune_api.spec.training import AdapterSpec, TrainingSpec

# Everything else is fixed once the job exists: what ran is what the spec says.
MUTABLE = ("suspend", "ttlSecondsAfterFinished")


class FineTuneJobSpec(Schema):
    """What to fine-tune, on what, how, and what becomes of the result."""

    model: ModelSpec
    """The base model."""
    method: Method
    """full (every weight), lora (an adapter), qlora (an adapter on 4-bit weights), or ia3."""
    objective: Objective | None = None
    """sft (supervised fine-tuning, the default) or dpo (preferences)."""
    backend: Backend | None = None
    """Training engine: trl (the default), unsloth or axolotl."""
    dataset: DatasetSpec
    """Training and validation data."""
    adapter: AdapterSpec | None = None
    """Adapter settings, for lora and qlora."""
    training: TrainingSpec | None = None
    """Hyperparameters."""
    resources: ResourcesSpec | None = None
    """Hardware and limits."""
    pod_template: PodTemplate | None = None
    """What may be said about the training pod."""
    image: ImageRef | None = None
    """Trainer image; left out: the operator's."""
    storage: StorageSpec | None = None
    """The volume of checkpoints and outputs."""
    evaluation: EvaluationSpec | None = None
    """How the result is measured."""
    output: OutputSpec | None = None
    """What is written, and where."""
    checkpoint: CheckpointSpec | None = None
    """How often the run is saved."""
    tracking: TrackingSpec | None = None
    """Experiment trackers."""
    retry: RetrySpec | None = None
    """What a failure may cost."""
    suspend: bool | None = None
    """Stop after writing a checkpoint and give the hardware back, until it is false again."""
    active_deadline_seconds: Seconds | None = None
    """Fail the job when it has been active (not suspended or queued) for longer."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=315_360_000)] | None = None
    """Delete the job so long after it has finished; left out: never. Under GitOps a deleted job is trained again."""
