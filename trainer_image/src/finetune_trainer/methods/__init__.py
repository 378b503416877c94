"""What of the model is trained: one file per method."""

from __future__ import annotations

import logging
from typing import Any

from transformers import PreTrainedModel

from finetune_api.contract import Outcome, TrainerConfig
from finetune_trainer.failure import Failure
from finetune_trainer.methods import four_bits, full, lora

log = logging.getLogger(__name__)


def decided(config: TrainerConfig, model: PreTrainedModel) -> TrainerConfig:
    """`config` with what depends on the model and was left open: the adapter's dropout.

    Raises BAD_CONFIG for a dropout that can't be.
    """
    adapter = config.adapter
    if adapter is None or config.method == "full":
        return config
    return config.model_copy(
        update={"adapter": adapter.model_copy(update={"dropout": lora.dropout_of(adapter, model)})}
    )


def trainable(model: PreTrainedModel, config: TrainerConfig) -> Any:
    """`model` with the parts of `config.method` trainable: itself, or wrapped in a PeftModel."""
    match config.method:
        case "full":
            return full.trainable(model)
        case "lora":
            return lora.trainable(model, config)
        case "qlora":
            # the base is already quantised; the adapter is the same
            log.info("%.0f%% of the model's parameters are in 4 bits", 100 * four_bits.share(model))
            return lora.trainable(model, config)
        case other:
            raise Failure(
                Outcome.BAD_CONFIG,
                "MethodUnsupported",
                f"spec.method: {other} is not available; use full, lora or qlora",
            )


def artifact_kind(config: TrainerConfig) -> str:
    """adapter or model: what the export holds."""
    return "model" if config.method == "full" else "adapter"
