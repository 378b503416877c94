"""promptCompletion: prompt and completion, both text, or both lists of turns."""

from __future__ import annotations

from finetune_trainer.data.example import Chat, Example, Passage
from finetune_trainer.data.formats.messages import chat_of, turns
from finetune_trainer.data.formats.shape import Format, Wanted
from finetune_trainer.data.row import EmptyResponseError, Row


def convert(row: Row, wanted: Wanted) -> Example:
    """A user's turn and its answer; without a chat template one after the other, as they are."""
    if isinstance(row.fields.get("prompt"), list):
        return chat_of(row, turns(row, "prompt") + turns(row, "completion"), wanted)
    prompt = row.text("prompt")
    if "completion" in row.fields and row.fields["completion"] is None:
        raise EmptyResponseError('"completion" is null')
    completion = row.text("completion")
    if not completion.strip():
        raise EmptyResponseError('"completion" is empty')
    if wanted.chat:
        return Chat([{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}])
    text = prompt + completion
    return Passage(text, ((0 if wanted.train_on == "all" else len(prompt), len(text)),))


PROMPT_COMPLETION = Format("promptCompletion", ("prompt", "completion"), convert)
