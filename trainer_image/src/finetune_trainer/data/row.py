"""One row as it was read, and what can be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from finetune_api.contract import Outcome
from finetune_trainer.failure import Failure


class EmptyResponseError(Exception):
    """A row with nothing to learn from: `dataset.quality.emptyResponses` says what becomes of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file. `number` counts rows and `line` lines, both from 1; Parquet has no lines."""

    file: str
    number: int
    line: int | None
    fields: dict[str, Any]

    def refusal(self, reason: str, what: str) -> Failure:
        """BAD_DATA about this row. `reason` is one CamelCase word, `what` says what is wrong and what to do."""
        return Failure(Outcome.BAD_DATA, reason, f"{self}: {what}")

    def text(self, column: str) -> str:
        """The text in `column`. Raises BAD_DATA if it isn't there or isn't text."""
        if column not in self.fields:
            raise self.refusal("ColumnMissing", f'has no "{column}"; it has {listed(self.fields)}')
        return self.checked(self.fields[column], f'"{column}"')

    def text_if_any(self, column: str) -> str:
        """The text in `column`, or "" where the row has none. Raises BAD_DATA if it isn't text."""
        value = self.fields.get(column)
        return "" if value is None else self.checked(value, f'"{column}"')

    def checked(self, value: object, what: str) -> str:
        """`value` if a tokenizer can take it. `what` names it in the message. Raises BAD_DATA."""
        if not isinstance(value, str):
            raise self.refusal("WrongType", f"{what} is {described(value)}, not text")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise self.refusal(
                    "BrokenText",
                    f"{what} holds half of a surrogate pair (\\u{ord(value[error.start]):04x}) at character "
                    f"{error.start}; write the whole character",
                ) from None
        return value

    def renamed(self, columns: dict[str, str]) -> Row:
        """With the data's own column names (values of `columns`) replaced by the standard ones (its keys)."""
        if not columns:
            return self
        taken = set(columns.values())
        fields = {name: value for name, value in self.fields.items() if name not in taken}
        fields |= {ours: self.fields[theirs] for ours, theirs in columns.items() if theirs in self.fields}
        return replace(self, fields=fields)

    def __str__(self) -> str:
        line = "" if self.line is None else f" (line {self.line})"
        return f"row {self.number} of {self.file}{line}"


def listed(names: Any) -> str:
    """Names for a message: sorted, quoted, at most 12."""
    quoted = [f'"{name}"' for name in sorted(map(str, names))]
    more = f" and {len(quoted) - 12} more" if len(quoted) > 12 else ""
    return (", ".join(quoted[:12]) + more) or "no columns"


def described(value: object) -> str:
    """The kind of `value` as JSON calls it, with the value where it is short."""
    match value:
        case None:
            return "null"
        case bool():
            return f"{value}".lower()
        case float() if value != value:
            return "NaN"
        case int() if value.bit_length() > 256:  # str() of a huge one raises
            return "a huge number"
        case int() | float():
            return f"a number ({value})"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"of type {type(value).__name__}"
