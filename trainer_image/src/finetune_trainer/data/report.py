"""What became of the rows, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counts:
    """Of one source, or of one side of the split."""

    rows: int = 0
    """Rows read; 0 for a side of the split, which has examples only."""
    examples: int = 0
    """Examples kept: one per row, or one per response where the chat template rewrites earlier turns."""
    tokens: int = 0
    trained_tokens: int = 0
    """Tokens that the loss counts."""
    empty: int = 0
    """Rows dropped for having no response."""
    overlong: int = 0
    """Examples dropped for their length, or because nothing of the response was left within it."""
    truncated: int = 0
    """Examples cut at the maximum length."""
    unrolled: int = 0
    """Conversations that became one example per response."""

    @property
    def dropped(self) -> int:
        return self.empty + self.overlong

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    def __str__(self) -> str:
        share = f"{self.trained_tokens / self.tokens:.0%}" if self.tokens else "none"
        text = f"{self.examples:,} examples, {self.tokens:,} tokens, {self.trained_tokens:,} trained on ({share})"
        notes = (
            (self.empty, "rows without a response dropped (dataset.quality.emptyResponses: drop)"),
            (self.overlong, "examples over maxSequenceLength dropped"),
            (self.truncated, "examples cut at maxSequenceLength"),
            (self.unrolled, "conversations made into one example per response, as the chat template rewrites turns"),
        )
        return "; ".join([text, *(f"{count:,} {what}" for count, what in notes if count)])
