"""text: one column of text that is already what the model shall see."""

from __future__ import annotations

import re

from finetune_trainer.data.example import Example, Passage
from finetune_trainer.data.formats.shape import Format, Wanted
from finetune_trainer.data.row import EmptyResponseError, Row

# Text written in the Alpaca manner says where the response begins; any other text is learnt as a whole.
_RESPONSE = re.compile(r"### Response:[ \t]*\n?")


def convert(row: Row, wanted: Wanted) -> Example:
    """The text; if it holds "### Response:", what follows that is trained on unless all of it is asked for."""
    if "text" in row.fields and row.fields["text"] is None:
        raise EmptyResponseError('"text" is null')
    text = row.text("text")
    if not text.strip():
        raise EmptyResponseError('"text" is empty')
    marks = [] if wanted.train_on == "all" else [mark.end() for mark in _RESPONSE.finditer(text)]
    if not marks:
        return Passage(text, ((0, len(text)),))
    start = marks[-1] if wanted.train_on == "lastResponse" else marks[0]
    if not text[start:].strip():
        raise EmptyResponseError('nothing follows "### Response:"')
    return Passage(text, ((start, len(text)),))


TEXT = Format("text", ("text",), convert)
