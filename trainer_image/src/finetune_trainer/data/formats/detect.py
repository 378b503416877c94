"""Which format the rows have."""

from __future__ import annotations

from finetune_api.contract import Outcome
from finetune_api.schema import DatasetFormat
from finetune_trainer.data.formats.alpaca import ALPACA
from finetune_trainer.data.formats.messages import MESSAGES
from finetune_trainer.data.formats.prompt_completion import PROMPT_COMPLETION
from finetune_trainer.data.formats.shape import Format
from finetune_trainer.data.formats.text import TEXT
from finetune_trainer.data.row import Row, listed
from finetune_trainer.failure import Failure

# In the order in which they are tried: a row with messages and a text column (the rendered form) is a conversation.
FORMATS: tuple[Format, ...] = (MESSAGES, ALPACA, PROMPT_COMPLETION, TEXT)

# Columns of formats that are known but not trained on, and what to say about them.
_STRANGERS = {
    "conversations": 'looks like ShareGPT ("conversations"); rewrite it as "messages" with "role" and "content", '
    "or, if its turns have those already, set dataset.columns: {messages: conversations}",
    "chosen": 'holds preferences ("chosen"), which supervised fine-tuning does not learn from',
}


def choose(asked: DatasetFormat | None, first: Row) -> Format:
    """The format that was asked for, or else that of the first row. Raises BAD_CONFIG or BAD_DATA."""
    if asked is not None:
        return _named(asked, first)
    for format_ in FORMATS:
        if format_.fits(first):
            return format_
    for column, what in _STRANGERS.items():
        if column in first.fields:
            raise first.refusal("UnknownFormat", what)
    shapes = "; ".join(f"{format_.name}: {', '.join(format_.columns)}" for format_ in FORMATS)
    raise first.refusal(
        "UnknownFormat",
        f"has {listed(first.fields)}, which is no known format ({shapes}); rename columns with dataset.columns",
    )


def _named(asked: DatasetFormat, first: Row) -> Format:
    format_ = next((known for known in FORMATS if known.name == asked), None)
    if format_ is None:
        names = ", ".join(known.name for known in FORMATS)
        raise Failure(
            Outcome.BAD_CONFIG, "FormatUnsupported", f"dataset.format: {asked} is not read; formats are {names}"
        )
    if not format_.fits(first):
        lacks = listed(column for column in format_.columns if column not in first.fields)
        raise first.refusal(
            "WrongFormat",
            f"has no {lacks}, which the format {asked} needs; it has {listed(first.fields)}; "
            "rename columns with dataset.columns",
        )
    return format_
