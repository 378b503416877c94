"""What a job's inputs are, from whoever knows: the user, who read them, or the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune_api.inspection import Inspection
from finetune_api.spec.model import ModelSpec
from finetune_operator.sizing.facts import DataFacts, ModelFacts
from finetune_operator.sizing.models.catalogue import lookup
from finetune_operator.sizing.models.config_json import from_config
from finetune_operator.sizing.models.keys import ModelError
from finetune_operator.sizing.models.spec import from_spec


class UnknownModelError(ModelError):
    """Nobody has said what shape the model has."""


def model_facts(spec: ModelSpec, *, config: Mapping[str, Any] | None) -> ModelFacts:
    """The model's shape: as the job gives it, else from its config.json, else from the catalogue.

    Raises:
        UnknownModelError: none of them has it.
        ModelError: what they have makes no sense, or is no language model.
    """
    if spec.architecture is not None:
        return ModelFacts(from_spec(spec.architecture), "spec.model.architecture")
    if config is not None:
        return ModelFacts(from_config(config, where=f"config.json of {spec.source}"), "config.json")
    found = lookup(spec.source)
    if found is None:
        raise UnknownModelError(
            f"spec.model.source: the shape of {spec.source} is not known: its config.json was not read, and it is not "
            "in the catalogue; give its shape in spec.model.architecture"
        )
    return ModelFacts(found, "catalogue")


def data_facts(read: Inspection | None) -> DataFacts:
    """What was read of the training rows."""
    if read is None:
        return DataFacts()
    return DataFacts(
        rows=read.rows,
        tokens=read.tokens,
        longest_tokens=read.longest_tokens,
        p99_tokens=read.p99_tokens,
        lost_tokens=read.lost_tokens,
        validation_rows=read.validation_rows,
        validation_tokens=read.validation_tokens,
        format=read.format,
        estimated=bool(read.estimated),
    )
