"""All weights are trained."""

from __future__ import annotations

from transformers import PreTrainedModel


def trainable(model: PreTrainedModel) -> PreTrainedModel:
    """`model`, every parameter requiring a gradient."""
    model.requires_grad_(True)
    return model
