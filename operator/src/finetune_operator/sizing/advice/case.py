"""What advice is given about: a job as it is asked for, and what is known of its inputs and its plan."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date

from finetune_api.spec import FineTuneJobSpec
from finetune_api.spec.training import AdapterSpec, TrainingSpec
from finetune_operator.sizing import defaults
from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.speed import Estimate

SMALL_MODEL = 100_000_000
"""Parameters. The ranges that guides give are for language models; smaller ones are toys and tests, and need others."""
MANY_ROWS = 100_000
"""With more, full fine-tuning learns what LoRA of common ranks does not (arXiv:2405.09673, figure 2)."""


@dataclass(frozen=True, slots=True)
class Case:
    """A job before it starts. What isn't known is None, and rules that need it say nothing."""

    spec: FineTuneJobSpec
    data: DataFacts = field(default_factory=DataFacts)
    architecture: Architecture | None = None
    estimate: Estimate | None = None
    hardware: Hardware | None = None
    """What was chosen."""
    max_sequence_length: int | None = None
    """As sized, in tokens."""
    today: date | None = None

    @property
    def training(self) -> TrainingSpec:
        return self.spec.training or TrainingSpec()

    @property
    def adapter(self) -> AdapterSpec:
        return self.spec.adapter or AdapterSpec()

    @property
    def large(self) -> bool:
        """A language model, known to be one."""
        return self.architecture is not None and self.architecture.parameters >= SMALL_MODEL

    @property
    def plain_text(self) -> bool:
        """Rows are documents, rather than examples of a task."""
        return (self.spec.dataset.format or self.data.format) == "text"

    @property
    def batch(self) -> int:
        """Examples per optimizer step."""
        return self.training.effective_batch_size or defaults.EFFECTIVE_BATCH_SIZE

    @property
    def steps(self) -> int | None:
        """Optimizer steps of the run."""
        if self.estimate is not None:
            return self.estimate.steps
        if not self.data.rows:
            return self.training.max_steps
        epochs = defaults.EPOCHS if self.training.epochs is None else self.training.epochs
        steps = max(1, math.ceil(self.data.rows / self.batch * epochs))
        return steps if self.training.max_steps is None else min(steps, self.training.max_steps)

    @property
    def epochs(self) -> float:
        """Passes over the data: what is asked for, or what maxSteps leaves of it."""
        asked = defaults.EPOCHS if self.training.epochs is None else self.training.epochs
        if self.training.max_steps is None or not self.data.rows:
            return asked
        return min(asked, self.training.max_steps * self.batch / self.data.rows)

    @property
    def length(self) -> int | None:
        """Tokens that a row may have."""
        return self.training.max_sequence_length or self.max_sequence_length
