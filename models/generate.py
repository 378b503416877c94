"""`python -m models.generate [--check]`: the catalogue of public models that the operator carries.

The *.yaml files beside this one are written by hand; each names models that share one shape:

ids         as the Hub names them; NAME{,-Instruct} stands for NAME and NAME-Instruct
config      of their config.json, the keys that the shape depends on
parameters  published by others: by the Hub, counted in the model's files, unless `source` says by whom
less        of those, parameters that the files hold twice
within      share by which the published figure may differ from ours; left out: not at all

Every shape is read as a job's config.json would be, and its parameters counted and compared with the published figure.
What is written is operator/src/finetune_operator/sizing/models/catalogue.json: one line for each shape. To add a model,
add it to a *.yaml file, run this, and commit both.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from finetune_api.schema import Schema
from finetune_operator.sizing.models.config_json import from_config
from finetune_operator.sizing.models.keys import ModelError

SOURCES = Path(__file__).parent
CATALOGUE = SOURCES.parent / "operator/src/finetune_operator/sizing/models/catalogue.json"
_BRACES = re.compile(r"\{([^{}]*)\}")
_ID = re.compile(r"([\w.-]+/)?[\w.-]+")


class SourceError(ValueError):
    """A *.yaml file says what cannot be; the text names the file and the model."""


class Entry(Schema):
    """Models of one shape, as written by hand."""

    ids: Annotated[tuple[str, ...], Field(min_length=1)]
    config: dict[str, Any]
    parameters: Annotated[float, Field(gt=0)]
    less: Annotated[int, Field(ge=0)] = 0
    within: Annotated[float, Field(ge=0, le=0.05)] = 0
    source: str = "the Hub"

    @property
    def names(self) -> tuple[str, ...]:
        """Every model's id."""
        return tuple(name for written in self.ids for name in expanded(written))

    @property
    def published(self) -> int:
        """Parameters that there ought to be."""
        return round(self.parameters) - self.less


def expanded(written: str) -> Iterator[str]:
    """All that a text with braces stands for, as in a shell: a{,b}c stands for ac and abc."""
    parts = [part.split(",") if i % 2 else [part] for i, part in enumerate(_BRACES.split(written))]
    return ("".join(chosen) for chosen in itertools.product(*parts))


def entries() -> Sequence[Entry]:
    """All of the *.yaml files, in the order of their names. Raises SourceError for what can't be, or is there twice."""
    found: list[Entry] = []
    seen: dict[str, str] = {}
    for path in sorted(SOURCES.glob("*.yaml")):
        for number, written in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")), start=1):
            entry = _checked(written, f"models/{path.name}: model {number}")
            for name in entry.names:
                if (other := seen.get(name.casefold())) is not None:
                    raise SourceError(f"models/{path.name}: {name} is there already, in {other}")
                seen[name.casefold()] = path.name
            found.append(entry)
    return found


def _checked(written: object, where: str) -> Entry:
    try:
        entry = Entry.model_validate(written)
    except ValidationError as error:
        raise SourceError(f"{where}: {error}") from error
    if wrong := [name for name in entry.names if not _ID.fullmatch(name)]:
        raise SourceError(f"{where}: {wrong[0]} is no id of a model")
    where = f"{where} ({entry.names[0]})"
    try:
        counted = from_config(entry.config, where=where).parameters
    except ModelError as error:
        raise SourceError(str(error)) from error
    if abs(counted - entry.published) > entry.within * entry.published:
        raise SourceError(f"{where}: has {counted} parameters, and {entry.published} by {entry.source}")
    return entry


def catalogue() -> str:
    """What is shipped: for each shape its names and its configuration."""
    lines = (_line({"ids": entry.names, "config": entry.config}) for entry in entries())
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the catalogue; with --check write nothing, and return 1 where it is stale."""
    parser = argparse.ArgumentParser(prog="python -m models.generate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the catalogue is stale")
    check = parser.parse_args(arguments).check
    try:
        new = catalogue()
    except SourceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    name = CATALOGUE.relative_to(SOURCES.parent)
    if CATALOGUE.is_file() and CATALOGUE.read_text(encoding="utf-8") == new:
        return 0
    if check:
        sys.stderr.write(f"{name}: is stale; run `python -m models.generate` and commit it\n")
        return 1
    CATALOGUE.write_text(new, encoding="utf-8")
    sys.stdout.write(f"wrote {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
