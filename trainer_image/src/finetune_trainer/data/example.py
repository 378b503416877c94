"""What a row becomes before it is tokens: a chat, or a passage of plain text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Span = tuple[int, int]
"""Characters [start, end) that the loss counts."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation for the chat template of the tokenizer. Holds at least one assistant turn that isn't empty."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """Plain text. The end-of-text token that follows it is trained on."""

    text: str
    trained: tuple[Span, ...]


Example = Chat | Passage
