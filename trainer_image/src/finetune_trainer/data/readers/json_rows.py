"""JSON Lines, and JSON files that are one list of rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from finetune_api.contract import Outcome
from finetune_trainer.data.readers.lines import lines
from finetune_trainer.data.row import Row, described
from finetune_trainer.failure import Failure

_SPACE = " \t\r\n"


def json_lines(path: Path, name: str) -> Iterator[Row]:
    """A row per line that isn't blank. Raises BAD_DATA at the first line that is no JSON object."""
    row = 0
    for number, text in lines(path, name):
        if not text.strip():
            continue
        row += 1
        try:
            value = json.loads(text)
        # also: integers of more digits than Python converts, and brackets nested deeper than its stack
        except (ValueError, RecursionError) as error:
            hint = "; a .jsonl file has one object per line: is it a .json file?" if text.lstrip()[0] == "[" else ""
            raise _broken(f"row {row} of {name} (line {number})", error, hint) from None
        if not isinstance(value, dict):
            raise _no_object(f"row {row} of {name} (line {number})", value)
        yield Row(name, row, number, value)


def json_file(path: Path, name: str) -> Iterator[Row]:
    """Rows of a file that is a JSON list; one that is JSON Lines by another name is read as such. Raises BAD_DATA."""
    first = next((text for _, text in lines(path, name) if text.strip()), "")
    if first.lstrip().startswith("{"):
        yield from _objects(path, name, first)
    else:
        yield from _list(path, name)


def _objects(path: Path, name: str, first: str) -> Iterator[Row]:
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        raise Failure(
            Outcome.BAD_DATA,
            "NotAList",
            f"{name} is one JSON object; a data set is a list of rows, or one row per line (.jsonl)",
        ) from None
    yield from json_lines(path, name)


def _list(path: Path, name: str) -> Iterator[Row]:
    text = "".join(line for _, line in lines(path, name))
    decoder = json.JSONDecoder()
    place = _skip(text, 0)
    if place == len(text):
        return
    if text[place] != "[":
        raise Failure(Outcome.BAD_DATA, "NotAList", f"{name} is no JSON list of rows (it begins with {text[place]!r})")
    row, line, counted = 0, 1, 0
    place = _skip(text, place + 1)
    while place < len(text) and (text[place] != "]" or row):
        line, counted = line + text.count("\n", counted, place), place
        row += 1
        where = f"row {row} of {name} (line {line})"
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise _broken(where, error, "") from None
        if not isinstance(value, dict):
            raise _no_object(where, value)
        yield Row(name, row, line, value)
        place = _skip(text, place)
        if text[place : place + 1] == "]":
            break
        if text[place : place + 1] != ",":
            raise Failure(
                Outcome.BAD_DATA, "BrokenJSON", f"{where}: no comma or ] follows it; is the file cut off? Write it anew"
            )
        place = _skip(text, place + 1)
    rest = _skip(text, place + 1)
    if place >= len(text):
        raise Failure(Outcome.BAD_DATA, "BrokenJSON", f"{name} ends inside its list, after row {row}; it is cut off")
    if rest < len(text):
        raise Failure(Outcome.BAD_DATA, "BrokenJSON", f"{name}: something follows the list, at character {rest}")


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


def _broken(where: str, error: Exception, hint: str) -> Failure:
    match error:
        case json.JSONDecodeError():
            what = f"{error.msg} at column {error.colno}"
        case RecursionError():
            what = "nested too deeply"
        case _:
            what = str(error)
    return Failure(Outcome.BAD_DATA, "BrokenJSON", f"{where}: no valid JSON: {what}{hint}")


def _no_object(where: str, value: object) -> Failure:
    return Failure(Outcome.BAD_DATA, "NotAnObject", f"{where}: is {described(value)}, not an object with columns")
