"""Names of modules that a job wants adapters beside, and its model does not have."""

from __future__ import annotations

from collections.abc import Iterable

from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.memory.trained import ALL_LINEAR, EMBEDDINGS, HEADS, adapted
from finetune_operator.sizing.models.keys import ModelError
from finetune_operator.sizing.models.spec import CUSTOM
from finetune_operator.sizing.setup import Setup

_POSITIONS = frozenset({"wpe", "embed_positions"})
_FIELD = "spec.adapter.targetModules"


def refuse_unknown_targets(architecture: Architecture, targets: Iterable[str]) -> None:
    """Raises ModelError for what the trainer would refuse too, when it has a GPU already.

    What a shape that the user gives calls its matrices is not known, so nothing is refused there.
    """
    if architecture.model_type == CUSTOM:
        return
    for target in targets:
        last = target.rpartition(".")[2]
        if last in HEADS:
            raise ModelError(
                f'{_FIELD}: "{target}" is the output head, which an adapter would not train; put it into modulesToSave'
            )
        if target != ALL_LINEAR and last not in EMBEDDINGS | _POSITIONS and not adapted(_alone(architecture, target)):
            offer = ", ".join(sorted({linear.name for linear in architecture.linears if linear.module}))
            raise ModelError(f'{_FIELD}: "{target}" is not a module of {architecture.model_type}; it has {offer}')


def _alone(architecture: Architecture, target: str) -> Setup:
    return Setup(
        architecture=architecture,
        method="lora",
        micro_batch_size=1,
        sequence_length=1,
        gradient_checkpointing=False,
        target_modules=(target,),
    )
