"""What the run amounts to, in numbers and in a sentence."""

from __future__ import annotations

import statistics

from finetune_api.contract import TrainerConfig
from finetune_api.status import Metrics
from finetune_trainer.data import Prepared
from finetune_trainer.export.card import Measured, license_of, perplexity
from finetune_trainer.fetching import Inputs
from finetune_trainer.metrics_log import MetricsLog


def measured(prepared: Prepared, curve: MetricsLog, *, steps: int) -> Measured:
    """From the whole curve, so that what was trained before an interruption counts too."""
    losses, evaluations = curve.losses(), curve.evaluations()
    eval_loss = evaluations.get(steps)
    return Measured(
        steps=steps,
        max_length=prepared.max_length,
        first_loss=losses[0] if losses else None,
        eval_loss_before=evaluations.get(0),
        metrics=Metrics(
            epochs=None if (epochs := curve.epochs()) is None else round(epochs, 4),
            train_loss=statistics.fmean(losses) if losses else None,
            final_loss=losses[-1] if losses else None,
            eval_loss=eval_loss,
            perplexity=None if eval_loss is None else perplexity(eval_loss),
            train_rows=prepared.train_counts.examples,
            train_tokens=prepared.train_counts.tokens,
            trained_tokens=prepared.train_counts.trained_tokens,
        ),
    )


def base_license(config: TrainerConfig, inputs: Inputs) -> str | None:
    """As the configuration says, else as the base model's card does."""
    return config.output.license or license_of(inputs.model)


def sentence(result: Measured) -> str:
    """For the condition's message."""
    text = f"trained {result.steps} steps"
    if result.metrics.train_loss is not None:
        text += f", mean loss {result.metrics.train_loss:.4f}"
    if result.metrics.eval_loss is not None:
        text += f", validation loss {result.metrics.eval_loss:.4f}"
        if result.eval_loss_before is not None:
            text += f" (before training {result.eval_loss_before:.4f})"
    return text
