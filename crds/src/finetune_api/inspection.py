"""What a job's inputs are, read from them before anything is sized: the inspect pod's result, kept in status."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from finetune_api.model_keys import LIMIT, restored
from finetune_api.schema import DatasetFormat, Schema


class Inspection(Schema):
    """What was read of the inputs before the job was sized. Rows and tokens do not depend on packing."""

    model: Annotated[str, Field(max_length=LIMIT)] | None = None
    """What the model's size depends on: keys of its config.json, as JSON."""
    model_bytes: int | None = None
    """Size of the model's weight files."""
    format: DatasetFormat | None = None
    """Shape of the training rows."""
    rows: int | None = None
    """Examples to be trained on."""
    tokens: int | None = None
    """Tokens of one epoch, cut at the maximum sequence length."""
    trained_tokens: int | None = None
    """Of these, tokens that the loss counts."""
    lost_tokens: int | None = None
    """Tokens of one epoch that the maximum sequence length cuts off or drops."""
    longest_tokens: int | None = None
    """Tokens of the longest example, before it is cut."""
    p99_tokens: int | None = None
    """99 of 100 examples have at most so many tokens, before they are cut."""
    max_sequence_length: int | None = None
    """The maximum sequence length that this was counted with."""
    validation_rows: int | None = None
    """Examples held out for validation."""
    validation_tokens: int | None = None
    """Tokens of these."""
    estimated: bool | None = None
    """True where the data is so large that a part of it was counted and the rest estimated from that."""
    failure: Annotated[str, Field(max_length=1500)] | None = None
    """Why the inputs could not be read, where the job goes on without."""

    def model_keys(self) -> dict[str, Any] | None:
        """`model`, to be read as a config.json; None where it is not known."""
        return restored(self.model) if self.model is not None else None
