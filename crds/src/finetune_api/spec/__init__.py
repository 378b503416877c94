"""spec of a FineTuneJob, one file per part."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from finetune_api.schema import Backend, ImageRef, Method, Objective, Rule, Schema, Seconds
from finetune_api.spec.dataset import DatasetSpec
from finetune_api.spec.evaluation import EvaluationSpec
from finetune_api.spec.model import ModelSpec
from finetune_api.spec.output import OutputSpec, TrackingSpec
from finetune_api.spec.pod import PodTemplate
from finetune_api.spec.resources import CheckpointSpec, ResourcesSpec, RetrySpec, StorageSpec
from finetune_api.spec.training import AdapterSpec, TrainingSpec

# Everything else is fixed once the job exists: what ran is what the spec says.
MUTABLE = ("suspend", "ttlSecondsAfterFinished")

# What one field says about another. A setting that would be ignored in silence is refused.
CROSS_FIELD_RULES = (
    Rule(
        cel="self.method != 'full' || !has(self.adapter)",
        message="method full trains every weight and has no adapter; remove adapter, or use method lora or qlora",
        holds=lambda it: it.method != "full" or it.adapter is None,
        field="adapter",
    ),
    Rule(
        cel="self.method != 'ia3' || !has(self.adapter) || !(has(self.adapter.rank) || has(self.adapter.alpha)"
        " || has(self.adapter.dropout) || has(self.adapter.variant) || has(self.adapter.init))",
        message="method ia3 has neither rank, alpha, dropout, variant nor init; remove them, or use method lora",
        holds=lambda it: (
            it.method != "ia3"
            or it.adapter is None
            or (it.adapter.rank, it.adapter.alpha, it.adapter.dropout, it.adapter.variant, it.adapter.init)
            == (None,) * 5
        ),
        field="adapter",
    ),
    Rule(
        cel="self.method != 'full' || !has(self.output) || !has(self.output.merge) || !self.output.merge",
        message="method full has no adapter to merge; remove output.merge",
        holds=lambda it: it.method != "full" or it.output is None or not it.output.merge,
        field="output",
    ),
    Rule(
        cel="!has(self.dataset.format) || (self.dataset.format == 'preference')"
        " == (has(self.objective) && self.objective == 'dpo')",
        message="format preference goes with objective dpo, every other format with objective sft",
        holds=lambda it: it.dataset.format is None or (it.dataset.format == "preference") == (it.objective == "dpo"),
        field="dataset",
    ),
    Rule(
        cel="!has(self.training) || !has(self.training.dpo) || (has(self.objective) && self.objective == 'dpo')",
        message="training.dpo is for objective dpo; remove it or set objective: dpo",
        holds=lambda it: it.training is None or it.training.dpo is None or it.objective == "dpo",
        field="training",
    ),
)


class FineTuneJobSpec(Schema):
    """What to fine-tune, on what, how, and what becomes of the result. What is not done yet is refused by name."""

    rules: ClassVar[tuple[Rule, ...]] = CROSS_FIELD_RULES

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
    """Trainer image; left out: that of the operator's settings."""
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
    """Fail the job when it has been active for longer, since its start or the end of its last suspension."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=315_360_000)] | None = None
    """Delete the job and, if not retained, its volume so long after its end; left out: never. GitOps trains it anew."""
