"""TRL's SFTTrainer with what a run in a pod needs: whole checkpoints, an end at the first non-finite number,
a stop at SIGTERM, and progress that can be read from outside.
"""

from __future__ import annotations

import logging
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.serialization import config as serialization
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, Trainer
from trl import SFTConfig, SFTTrainer

from finetune_api.contract import TrainerConfig
from finetune_trainer import checkpoint, random_state, sharding
from finetune_trainer.checkpoint import Fingerprint
from finetune_trainer.failure import diverged, interrupted
from finetune_trainer.interruption import Interruption
from finetune_trainer.metrics_log import MetricsLog
from finetune_trainer.optimizer import StochasticAdamW
from finetune_trainer.pacemaker import Pacemaker, ends_epoch
from finetune_trainer.progress import Reporter
from finetune_trainer.rundir import WorkDir
from finetune_trainer.settings import SCHEDULERS, STOCHASTIC_ADAMW, Batching, Settings

log = logging.getLogger(__name__)

SHARD_SIZE = "1GB"
"""Of weights in checkpoints."""
_RANKS_WAIT_SECONDS = 4 * 3600


@dataclass(frozen=True, slots=True)
class Channels:
    """Where a run's word goes, and where the wish to stop comes from."""

    interruption: Interruption
    reporter: Reporter
    metrics: MetricsLog


def arguments(config: TrainerConfig, settings: Settings, batching: Batching, *, packed: bool) -> Any:
    """TRL's configuration. The data is tokenised, labelled and packed already, and none of it is done again."""
    training = config.training
    # transformers takes warmup_steps below 1 as a share of the steps, so a share of 1 must stay below
    ratio = min(training.warmup_ratio or 0.0, 1 - 1e-9)
    arguments = SFTConfig(
        output_dir=str(WorkDir(Path(config.work_dir)).checkpoints),
        # data: as it is
        dataset_kwargs={"skip_prepare_dataset": True},
        packing=False,
        padding_free=packed,
        max_length=None,
        completion_only_loss=False,
        assistant_only_loss=False,
        per_device_train_batch_size=batching.micro_batch_size,
        per_device_eval_batch_size=batching.micro_batch_size,
        gradient_accumulation_steps=batching.accumulation,
        dataloader_pin_memory=settings.pin_memory,
        # optimisation
        num_train_epochs=training.epochs,
        max_steps=training.max_steps if training.max_steps is not None else -1,
        learning_rate=training.learning_rate,
        lr_scheduler_type=SCHEDULERS[training.scheduler],
        warmup_steps=ratio if training.warmup_steps is None else training.warmup_steps,
        optim="adamw_torch" if settings.optimizer == STOCHASTIC_ADAMW else settings.optimizer,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        neftune_noise_alpha=training.neftune_alpha,
        seed=training.seed,
        data_seed=training.seed,
        # arithmetic
        bf16=settings.autocast == "bfloat16",
        fp16=settings.autocast == "float16",
        tf32=settings.tf32 if config.accelerator == "gpu" else None,
        activation_checkpointing=training.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if training.gradient_checkpointing else None,
        use_cpu=config.accelerator == "cpu",
        use_liger_kernel=settings.loss_kernel == "liger",
        ddp_find_unused_parameters=False,
        # the other ranks wait while rank 0 writes the result; a real stall is found by the supervisor
        ddp_timeout=_RANKS_WAIT_SECONDS,
        # what is measured, and who is told: we save, log and report ourselves
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **sharding.arguments(settings.sharded),
    )
    if settings.sharded is not None:
        arguments.fsdp_plugin_args["mixed_precision_policy"] = sharding.policy(settings.sharded)
    return arguments


class FineTuner(SFTTrainer):  # type: ignore[misc]
    """Trains as TRL does; saves, logs and stops as the contract says."""

    def __init__(
        self,
        *,
        config: TrainerConfig,
        settings: Settings,
        channels: Channels,
        made_with: Fingerprint,
        args: Any,
        model: Any,
        train: Any,
        validation: Any | None,
        tokenizer: PreTrainedTokenizerBase,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=train,
            eval_dataset=validation,
            processing_class=tokenizer,
            optimizer_cls_and_kwargs=_own_optimizer(config, settings, args),
            callbacks=[
                Pacemaker(
                    interruption=channels.interruption,
                    reporter=channels.reporter,
                    checkpoint_seconds=config.checkpoint.interval_seconds,
                    evaluates=validation is not None,
                )
            ],
        )
        # prints a dictionary per step, beside our line
        self.remove_callback(PrinterCallback)
        self._channels = channels
        self._work = WorkDir(Path(config.work_dir))
        self._made_with = made_with
        self._keep = config.checkpoint.keep
        self._fp16 = settings.autocast == "float16"
        self._loss_kernel = settings.loss_kernel
        if self._loss_kernel == "liger":
            # TRL turns it off for the sake of its own, which `compute_loss` then doesn't ask for
            self.args.liger_kernel_config["fused_linear_cross_entropy"] = True
        self._trainable = getattr(torch, settings.trainable)
        self._cast_what_is_trained()

    def _cast_what_is_trained(self) -> None:
        """TRL casts adapters beside 4-bit weights to bf16, where small updates are lost."""
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(self._trainable)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """One optimizer step, or the summary at the end. Raises DIVERGED at the first number that isn't finite."""
        super().log(logs, start_time)
        if "loss" not in logs:
            return
        step, loss, norm = self.state.global_step, logs["loss"], logs.get("grad_norm", 0.0)
        if not math.isfinite(loss):
            raise diverged("the training loss", step)
        if not math.isfinite(norm) and not self._fp16:
            # under fp16 the scaler skips such a step and lowers its scale
            raise diverged("the gradient", step)
        rate = logs["learning_rate"]
        self._channels.metrics.append(
            {"step": step, "epoch": self.state.epoch, "loss": loss, "gradNorm": norm, "learningRate": rate}
        )
        self._channels.reporter.step(
            step=step,
            max_steps=self.state.max_steps,
            epoch=self.state.epoch or 0.0,
            loss=loss,
            learning_rate=rate,
            tokens=int(self._total_train_tokens),
        )

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """As the parent does, or with the model's own loss: over all logits at once, or as Liger's kernel does it."""
        if self._loss_kernel == "chunked":
            sharding.gather_head(self.model)
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.model.training:
            self._total_train_tokens += int(self.accelerator.gather(_tokens(inputs)).sum())
        inputs["use_cache"] = False
        return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As the parent does; the loss goes into the curve. Raises DIVERGED if it isn't finite."""
        # a data loader draws a seed when it starts: an evaluation more or less must not change the training
        self._random_state = random_state.taken()
        measured: dict[str, float] = super().evaluate(*args, **kwargs)
        random_state.restore(self._random_state)
        loss, step = measured["eval_loss"], self.state.global_step
        if not math.isfinite(loss):
            raise diverged("the evaluation loss", step)
        self._channels.metrics.append({"step": step, "evalLoss": loss})
        self._channels.reporter.evaluation(loss)
        return measured

    def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
        """One batch of an evaluation, which SIGTERM stops at once: the step before it is saved, the loss is not."""
        if self._channels.interruption.requested and self.args.world_size == 1:
            if self.is_in_train and checkpoint.newest_step(self._work.checkpoints) != self.state.global_step:
                random_state.restore(self._random_state)
                self._save_checkpoint(self.model, None)
            raise interrupted(checkpoint.newest_step(self._work.checkpoints))
        self._channels.reporter.heartbeat()
        return super().prediction_step(*args, **kwargs)

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        """As the parent does; then makes up for an evaluation that the checkpoint was written before.

        So is the one of step 0 made here for several processes. A model that was prepared for evaluation alone would
        neither be cut up with its optimizer nor have its gradients averaged, and nobody would say so.
        """
        prepared = super()._prepare_for_training(*args, **kwargs)
        step = self.state.global_step
        due = step == 0 or ends_epoch(self.state) or step >= self.state.max_steps
        if due and self.eval_dataset is not None and step not in self._channels.metrics.evaluations():
            self.evaluate()
        return prepared

    def _save(self, output_dir: str | None = None, _state_dict: Any = None) -> None:
        """The weights alone, in shards: each is copied to host memory as a whole."""
        if self.args.should_save:
            own = {} if isinstance(self.model, PreTrainedModel) else {"save_embedding_layers": False}
            self.model.save_pretrained(output_dir, max_shard_size=SHARD_SIZE, **own)

    def _load_optimizer_and_scheduler(self, folder: str | None) -> None:
        """As the parent does, but files are mapped: nothing else would need host memory for all moments at once.

        Of sharded ones each process reads its part alone, from files that are open already and can't be mapped.
        """
        with serialization.patch("load.mmap", not self.is_fsdp_enabled):  # type: ignore[attr-defined]
            super()._load_optimizer_and_scheduler(folder)

    def _save_checkpoint(self, _model: Any, _trial: Any) -> None:
        """Like the parent's, but whole or absent, and with no model card."""
        self._channels.metrics.sync()
        self._channels.reporter.saving()
        everyone = self.accelerator.wait_for_everyone
        with self._folder_for_checkpoint() as path:
            everyone()
            self.save_model(str(path), _internal_call=True)
            self._save_optimizer_and_scheduler(str(path))
            self._save_scaler(str(path))
            self._save_rng_state(str(path))
            if self.args.should_save:
                self.state.stateful_callbacks["TrainerControl"] = self.control.state()
                self.state.save_to_json(str(path / "trainer_state.json"))
            everyone()
        everyone()

    def _folder_for_checkpoint(self) -> AbstractContextManager[Path]:
        """Rank 0 makes the folder and completes the checkpoint; the others only write into it."""
        folder, step = self._work.checkpoints, self.state.global_step
        if self.args.process_index:
            return nullcontext(checkpoint.temporary(folder, step))
        return checkpoint.writing(folder, step, made_with=self._made_with, keep=self._keep)


def _own_optimizer(config: TrainerConfig, settings: Settings, args: Any) -> tuple[type, dict[str, Any]] | None:
    if settings.optimizer == STOCHASTIC_ADAMW:
        betas = (args.adam_beta1, args.adam_beta2)
        return StochasticAdamW, {
            "lr": args.learning_rate,
            "betas": betas,
            "eps": args.adam_epsilon,
            "seed": config.training.seed,
        }
    if settings.trainable == "bfloat16":
        log.warning(
            "%s rounds weights in bfloat16 to the nearest, which loses small updates; adamw doesn't",
            config.training.optimizer,
        )
    return None


def _tokens(inputs: Any) -> torch.Tensor:
    """Their number in a batch, without padding."""
    if "attention_mask" in inputs:
        return inputs["attention_mask"].sum()  # type: ignore[no-any-return]
    return torch.tensor(inputs["position_ids"].size(1), device=inputs["position_ids"].device)


def must_be_done(trainer: FineTuner, work: WorkDir, interruption: Interruption) -> None:
    """`train()` returns normally after a stop, too. Raises INTERRUPTED unless every step was made."""
    if interruption.requested or trainer.state.global_step < trainer.state.max_steps:
        raise interrupted(checkpoint.newest_step(work.checkpoints))
