"""Reads rows of the hardware table from a file: they override fields of the rows that are known, or add rows."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune_api.schema import Schema, wire_name
from finetune_operator import numbered_yaml
from finetune_operator.numbered_yaml import Location, field_path
from finetune_operator.sizing.hardware.row import Hardware, Interconnect, Price
from finetune_operator.sizing.hardware.table import Table, builtin

_PARTS: Mapping[str, type[Schema]] = {"price": Price, "interconnect": Interconnect}


class HardwareError(ValueError):
    """The file is no hardware table; the text names file and line, row, field, cause and what to do, one a line."""


def read(path: Path, *, today: date, over: Table | None = None) -> Table:
    """The table `over` (left out: the one that comes with the operator) with the file's rows.

    A row of a known name or alias overrides the fields that it gives; null takes one away. Another name adds a row.

    Raises:
        HardwareError: it cannot be read, is not YAML, or a row is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HardwareError(f"{path}: cannot be read: {error}") from None
    return parse(text, path, today=today, over=over)


def parse(text: str, path: Path, *, today: date, over: Table | None = None) -> Table:
    """The same of a text that was read from `path` already."""
    try:
        data, lines = numbered_yaml.parse(text, path)
    except numbered_yaml.UnreadableError as error:
        raise HardwareError(str(error)) from None
    if not isinstance(data, list | None):
        raise HardwareError(f"{path}:1: must be a list of rows, each `- name: A100-80GB` with the fields to change")
    return _Reading(path, lines, over or builtin(), today).table(data or [])


@dataclass(frozen=True, slots=True)
class _Reading:
    path: Path
    lines: Mapping[Location, int]
    over: Table
    today: date

    def table(self, data: list[Any]) -> Table:
        rows: dict[str, Hardware] = {row.name: row for row in self.over}
        wrong: list[str] = []
        given: dict[str, int] = {}
        for index, item in enumerate(data):
            if not isinstance(item, dict) or not isinstance(item.get("name"), str):
                wrong.append(self._at((index,), "", "must be a mapping with a name, as `name: A100-80GB`"))
                continue
            known = self.over.find(item["name"])
            name = known.name if known is not None else item["name"]
            if (before := given.setdefault(name.casefold(), index)) != index:
                line = self.lines[(before,)]
                wrong.append(self._at((index,), name, f"is in line {line} already; make one row of the two"))
                continue
            try:
                rows[name] = self._row(item, known)
            except ValidationError as error:
                wrong += [self._explain(each, index, name) for each in error.errors()]
                continue
            price = rows[name].price
            if price is not None and price.date > self.today:
                cause = f"{price.date} is in the future; give the day on which it was looked up"
                wrong.append(self._at((index, "price", "date"), name, f"price.date: {cause}"))
        if not wrong:
            wrong = self._conflicts(list(rows.values()), given)
        if wrong:
            raise HardwareError("\n".join(wrong))
        return Table(tuple(rows.values()))

    def _row(self, item: dict[str, Any], known: Hardware | None) -> Hardware:
        base = known.model_dump(mode="json", by_alias=True, exclude_none=True) if known is not None else {}
        merged = base | item | ({"name": known.name} if known is not None else {})
        wanted = {field: value for field, value in merged.items() if value is not None}
        return Hardware.model_validate(wanted, by_alias=True, by_name=False)

    def _conflicts(self, rows: list[Hardware], given: Mapping[str, int]) -> list[str]:
        """Two rows of one name, or with one value of one label for one resource: which is meant could not be told."""
        wrong = []
        names: dict[str, Hardware] = {}
        tellings: dict[tuple[str | None, str, str], Hardware] = {}
        for row in rows:
            for name in (row.name, *row.aliases):
                if (other := names.setdefault(name.casefold(), row)) is not row:
                    wrong.append(self._both(row, other, given, f"both are called {name}; names and aliases are unique"))
            for label, value in row.tellings():
                if (other := tellings.setdefault((row.resource, label, value), row)) is not row:
                    cause = f"both have {row.resource} where {label} is {value}; give the value to one of them"
                    wrong.append(self._both(row, other, given, cause))
        return wrong

    def _both(self, row: Hardware, other: Hardware, given: Mapping[str, int], cause: str) -> str:
        """Of two rows at least one is from the file: the others were sound before."""
        if row.name.casefold() not in given:
            row, other = other, row
        return self._at((given[row.name.casefold()],), f"{row.name} and row {other.name}", cause)

    def _explain(self, error: Any, index: int, name: str) -> str:
        at: Location = tuple(error["loc"])
        cause = error["msg"]
        match error["type"]:
            case "extra_forbidden":
                part: type[Schema] = _PARTS.get(str(at[0]), Hardware) if len(at) > 1 else Hardware
                fields = [field.alias or wire_name(key) for key, field in part.model_fields.items()]
                near = difflib.get_close_matches(str(at[-1]), fields, n=1)
                cause = (
                    f"no such field; did you mean {near[0]}?"
                    if near
                    else f"no such field; there are {', '.join(fields)}"
                )
            case "missing":
                cause = "is missing"
        field = field_path(at)
        return self._at((index, *at), name, f"{field}: {cause}" if field else cause)

    def _at(self, at: Location, name: str, cause: str) -> str:
        line = numbered_yaml.line_of(at, self.lines)
        return f"{self.path}{f':{line}' if line else ''}: {f'row {name}: ' if name else ''}{cause}"
