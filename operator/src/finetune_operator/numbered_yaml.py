"""A YAML file's content, and the line of each key in it, so that what is wrong with it can be said by file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Location = tuple[str | int, ...]
"""Keys and indexes from the top of the document."""


class UnreadableError(ValueError):
    """The file cannot be read, or is not YAML; the text names it, and the line where there is one."""


def read(path: Path) -> tuple[Any, dict[Location, int]]:
    """The content (None where the file is empty), and the line of each key and item, counted from 1.

    Raises:
        UnreadableError: there is no such file, it is not YAML, or it gives a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path}: cannot be read: {error}") from None
    return parse(text, path)


def parse(text: str, path: Path) -> tuple[Any, dict[Location, int]]:
    """The same of a text that was read from `path` already."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise UnreadableError(f"{path}{line}: is not YAML: {error.problem or error.context}") from None
    # The last two: a date that there is not, such as 2026-02-30, and a document without end.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    lines: dict[Location, int] = {}
    try:
        _number(node, (), lines)
    except RecursionError:
        raise UnreadableError(f"{path}: an anchor contains itself") from None
    except UnreadableError as error:
        raise UnreadableError(f"{path}:{error}") from None
    return data, lines


def line_of(at: Location, lines: Mapping[Location, int]) -> int | None:
    """The line of the longest part of a location that the file has."""
    return next((lines[at[:end]] for end in range(len(at), 0, -1) if at[:end] in lines), None)


def field_path(at: Sequence[str | int]) -> str:
    """As people write it: trainer.env, namespaces[0]."""
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _number(node: yaml.Node | None, at: Location, lines: dict[Location, int]) -> None:
    match node:
        case yaml.MappingNode():
            for key, value in node.value:
                here = (*at, str(key.value))
                if here in lines:
                    # YAML says nothing about it and the last one would win in silence
                    raise UnreadableError(f"{key.start_mark.line + 1}: {field_path(here)}: is given twice")
                lines[here] = key.start_mark.line + 1
                _number(value, here, lines)
        case yaml.SequenceNode():
            for index, value in enumerate(node.value):
                lines[(*at, index)] = value.start_mark.line + 1
                _number(value, (*at, index), lines)
