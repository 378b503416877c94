"""Inputs stay what they were when they were read: a branch may move on between that and training."""

from __future__ import annotations

from finetune_api.contract import SourceConfig, TrainerConfig
from finetune_api.status import ResolvedInputs


def pinned(config: TrainerConfig, inputs: ResolvedInputs | None) -> TrainerConfig:
    """The configuration with the commits that are known of its Hub sources."""
    if inputs is None:
        return config
    model, data = config.model, config.dataset
    validation = data.validation
    if validation is not None and validation.uri == data.train.uri:
        validation = _at(validation, inputs.dataset_revision)
    return config.model_copy(
        update={
            "model": model.model_copy(update={"source": _at(model.source, inputs.model_revision)}),
            "dataset": data.model_copy(
                update={"train": _at(data.train, inputs.dataset_revision), "validation": validation}
            ),
        }
    )


def _at(source: SourceConfig, commit: str | None) -> SourceConfig:
    if commit is None or source.repository is None:
        return source
    return source.model_copy(update={"revision": commit})
