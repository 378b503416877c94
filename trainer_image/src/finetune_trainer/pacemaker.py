"""When a run saves, evaluates and stops."""

# ruff: noqa: ARG002 - transformers calls these methods with all of their arguments

from __future__ import annotations

import time
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.interruption import Interruption
from finetune_trainer.progress import Reporter


class Pacemaker(TrainerCallback):
    """Decides at the end of each step whether to save, evaluate or stop. All ranks decide the same."""

    def __init__(
        self, *, interruption: Interruption, reporter: Reporter, checkpoint_seconds: int, evaluates: bool
    ) -> None:
        self._interruption = interruption
        self._reporter = reporter
        self._seconds = checkpoint_seconds
        self._evaluates = evaluates
        self._saved = time.monotonic()
        self._due = False
        self._began_at = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._saved = time.monotonic()
        self._began_at = state.global_step
        self._reporter.stage("Training", max_steps=state.max_steps)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step == self._began_at and args.world_size == 1:
            self._interruption.check(self._began_at or None)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        stop, self._due = _agreed([self._interruption.requested, time.monotonic() - self._saved >= self._seconds], args)
        last = state.global_step >= state.max_steps
        # At the end of an epoch a checkpoint is written after the evaluation, which then needs not be made again;
        # the last one is written before it, so that nothing but the evaluation and the export can be lost.
        control.should_save = stop or last or (self._due and not ends_epoch(state))
        control.should_training_stop = control.should_training_stop or stop

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        last = state.global_step >= state.max_steps
        stop = control.should_training_stop and not last
        control.should_evaluate = self._evaluates and not stop
        control.should_save = self._due and not stop and not last
        if control.should_evaluate and last:
            self._reporter.stage("Evaluating")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._saved, self._due = time.monotonic(), False


def ends_epoch(state: TrainerState) -> bool:
    """Whether the step just made was the last of its epoch."""
    return float(state.epoch or 0.0).is_integer()


def _agreed(wishes: list[bool], args: TrainingArguments) -> list[bool]:
    """What any rank wishes, all do: a rank that stopped or saved alone would leave the others waiting for ever."""
    if args.world_size == 1:
        return wishes
    tensor = torch.tensor([float(wish) for wish in wishes], device=args.device)
    distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX)
    return [value > 0 for value in tensor.tolist()]
