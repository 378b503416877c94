"""A conversation as the model's chat template writes it, and which of its characters the loss counts.

Most chat templates don't mark what the assistant said ({% generation %}), so the turns are found by rendering the
conversation up to each of them: what a template writes for the turns before it, with the generation prompt, is what
the model is given, and what comes after that is what it has to say, its end-of-turn token included.

Templates of thinking models rewrite earlier turns when later ones are added (they drop the thoughts). Such a
conversation has no single rendering that holds what the model sees at each turn: it becomes one draft per response.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import jinja2
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from finetune_api.schema import TrainOn
from finetune_trainer.data.example import Chat, Span

_MARKERS = re.compile(r"\{%-?\s*generation\s*-?%\}")
# Some templates write today's date into the system prompt: a resume on another day would train on other tokens.
# The date is the one that Llama's own template falls back to.
_FIXED_DATE = (
    '{%- macro strftime_now(format) -%}{{ {"%Y-%m-%d": "2024-07-26", "%B %d, %Y": "July 26, 2024", '
    '"%d %B %Y": "26 July 2024"}.get(format, "26 Jul 2024") }}{%- endmacro -%}'
)


class TemplateRefusedError(Exception):
    """The chat template can't write this conversation; the message is its own sentence or ours."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Text to be made into tokens. `bos` and `eos`: whether the tokenizer's are put around it."""

    text: str
    trained: tuple[Span, ...]
    bos: bool = False
    eos: bool = False


class ChatTemplate:
    """The chat template of `tokenizer`, for one choice of `train_on`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, train_on: TrainOn) -> None:
        self._train_on = train_on
        self._template: str = tokenizer.get_chat_template()
        if "strftime_now" in self._template:
            self._template = _FIXED_DATE + self._template
        self._marked = bool(_MARKERS.search(self._template))
        self._specials = dict(tokenizer.special_tokens_map)
        added = tokenizer.added_tokens_decoder.values()
        self._added = tuple(str(token) for token in added if str(token))
        names = {str(token) for token in added if token.special} | {str(tokenizer.eos_token or "")}
        self._ends = tuple(sorted(names - {""}, key=len, reverse=True))

    def drafts(self, chat: Chat) -> list[Draft]:
        """One draft, or one per response where the template rewrites earlier turns. Raises TemplateRefusedError."""
        messages = chat.messages
        full = self._render(chat, len(messages))
        if self._train_on == "all":
            return [Draft(full, ((0, len(full)),), eos=not self._ended(full))]
        places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        if self._train_on == "lastResponse":
            places = places[-1:]
        if self._marked and (spans := self._marked_spans(chat, len(places))):
            return [self._draft(full, spans)]
        spans = []
        for place in places:
            span = self._span(chat, place, full)
            if span is None:
                return [self._alone(chat, each) for each in places]
            spans.append(span)
        return [self._draft(full, spans)]

    def _alone(self, chat: Chat, place: int) -> Draft:
        """The response at `place` with what came before it: what the model sees when it is about to say it."""
        part = Chat(chat.messages[: place + 1], chat.tools)
        text = self._render(part, place + 1)
        start = self._start(part, place, text)
        if start is None:
            raise TemplateRefusedError(
                f"the chat template writes the turns before message {place + 1} otherwise once that is there, so what "
                "the model is given can't be told from what it says; use dataset.trainOn: all"
            )
        return self._draft(text, [(start, len(text))])

    def _draft(self, text: str, spans: list[Span]) -> Draft:
        spans = [(start, self._trimmed(text, start, end)) for start, end in spans]
        last = max(end for _, end in spans)
        if self._ended(text[:last]):
            return Draft(text, tuple(spans))
        # A template without an end-of-turn token teaches nobody when to stop: the text ends with the tokenizer's.
        return Draft(text[:last], tuple(spans), eos=True)

    def _span(self, chat: Chat, place: int, full: str) -> Span | None:
        """Where the response at `place` stands in `full`; None if it stands there otherwise than it was said."""
        start = self._start(chat, place, full)
        if start is None or place == len(chat.messages) - 1:
            return None if start is None else (start, len(full))
        said = self._render(chat, place + 1)
        if full.startswith(said):
            return start, len(said)
        # Some templates close the whole text (Phi-3: <|endoftext|>), so that a part is no prefix; the turn may be one.
        end = self._last_end(full, start, _common(full, said))
        content = chat.messages[place]["content"].strip()
        if end is None or not content or content not in full[start:end]:
            return None
        return start, end

    def _start(self, chat: Chat, place: int, text: str) -> int | None:
        """Where in `text` the model begins to speak at `place`: the end of what it is given. None: can't be told."""
        if place == 0:
            raise TemplateRefusedError("message 1 is the assistant's; a conversation begins with the user")
        given = self._render(chat, place, prompt=True)
        if text.startswith(given):
            return len(given)
        # The generation prompt may open a thought that this response hasn't: as much of it as is there is given.
        common = _common(text, given)
        for name in self._added:
            cut = given.rfind(name, 0, common + len(name))
            if cut < common < cut + len(name):  # the response merely begins with the same character
                common = cut
        return common if common >= len(self._render(chat, place)) else None

    def _render(self, chat: Chat, count: int, *, prompt: bool = False) -> str:
        """The first `count` messages."""
        return self._call(chat, count, add_generation_prompt=prompt)[0]

    def _marked_spans(self, chat: Chat, wanted: int) -> list[Span]:
        """What the template marks as generated; the end-of-turn token is added where the marks leave it out."""
        full, spans = self._call(chat, len(chat.messages), return_assistant_tokens_mask=True)
        spans = [(start, self._closed(full, end)) for start, end in spans if end > start]
        return spans[-wanted:]

    def _call(self, chat: Chat, count: int, **options: bool) -> tuple[str, list[Span]]:
        try:
            # declared to return one string, though it returns the texts and the marks of a list of conversations
            rendered, marks = cast(
                "tuple[list[str], list[list[Span]]]",
                render_jinja_template(
                    [chat.messages[:count]],
                    tools=cast("list[dict[Any, Any] | Callable[..., Any]] | None", chat.tools),
                    chat_template=self._template,
                    **cast("dict[str, Any]", {**options, **self._specials}),
                ),
            )
        except jinja2.TemplateError as error:
            raise TemplateRefusedError(f"the model's chat template refuses it: {error}") from None
        except (TypeError, KeyError, ValueError, AttributeError, IndexError) as error:
            raise TemplateRefusedError(f"the model's chat template fails on it: {error!r}") from None
        return rendered[0], [(start, end) for start, end in marks[0]] if marks else []

    def _closed(self, text: str, end: int) -> int:
        follows = next((name for name in self._ends if text.startswith(name, end)), "")
        return end + len(follows)

    def _trimmed(self, text: str, start: int, end: int) -> int:
        """Without the white space that a template puts after the end-of-turn token: the model has stopped by then."""
        said = text[start:end].rstrip()
        return start + len(said) if said.endswith(self._ends) else end

    def _ended(self, text: str) -> bool:
        return text.rstrip().endswith(self._ends)

    def _last_end(self, text: str, start: int, end: int) -> int | None:
        """The end of the last special token that lies wholly in text[start:end]."""
        ends = [at + len(name) for name in self._ends if (at := text.rfind(name, start, end)) >= 0]
        return max(ends, default=None)


def _common(one: str, other: str) -> int:
    """Characters that both begin with."""
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if one[place] != other[place]), shorter)
