"""What of the model is trained: one file per method."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from finetune_api.contract import Outcome, TrainerConfig
from finetune_trainer.failure import Failure
from finetune_trainer.methods import full, lora


def trainable(model: PreTrainedModel, config: TrainerConfig) -> Any:
    """`model` with the parts of `config.method` trainable: itself, or wrapped in a PeftModel."""
    match config.method:
        case "full":
            return full.trainable(model)
        case "lora" | "qlora":
            # under qlora the base is already quantised; the adapter is the same
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
