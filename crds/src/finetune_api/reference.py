"""docs/reference.md: every type and field of a FineTuneJob, made from the models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finetune_api import API_VERSION, KIND
from finetune_api.job import MAX_NAME_LENGTH, FineTuneJob
from finetune_api.spec import MUTABLE

Definitions = dict[str, dict[str, Any]]

INTRODUCTION = f"""<!-- Generated from the models in crds/src/finetune_api by `make generate`; do not edit. -->
# API reference

`{KIND}`, `{API_VERSION}`, short name `ftj`. `kubectl explain ftj.spec` says the same.

A job's name is a DNS label of at most {MAX_NAME_LENGTH} characters. Only {" and ".join(f"`{m}`" for m in MUTABLE)}
of spec may change once the job exists: what ran is what the spec says. Only what is marked *required* must be given.
With all that was left out filled in, the trainer's configuration is in the ConfigMap `NAME-a1` of the first attempt.
"""


def reference() -> str:
    """The whole page, in Markdown."""
    definitions: Definitions = FineTuneJob.model_json_schema()["$defs"]
    parts = [INTRODUCTION]
    for path, name in _in_order("spec", "FineTuneJobSpec", definitions):
        parts.append(_section(path, name, definitions))
    for path, name in _in_order("status", "FineTuneJobStatus", definitions):
        parts.append(_section(path, name, definitions))
    return "\n".join(parts)


def _in_order(
    path: str, name: str, definitions: Definitions, seen: set[str] | None = None
) -> Iterator[tuple[str, str]]:
    """(path, type) of each type below, in the order in which a reader meets its fields; each type once."""
    seen = set() if seen is None else seen
    if name in seen:
        return
    seen.add(name)
    yield path, name
    for field, schema in definitions[name]["properties"].items():
        target, suffix = _target(schema)
        if target:
            yield from _in_order(f"{path}.{field}{suffix}", target, definitions, seen)


def _target(schema: dict[str, Any]) -> tuple[str | None, str]:
    """The type that a field leads to, and what its path gets: [] for a list."""
    found = _collapsed(schema)
    if found.get("type") == "array":
        return _target(found["items"])[0], "[]"
    reference = found.get("$ref")
    return (str(reference).rpartition("/")[2] if reference else None), ""


def _section(path: str, name: str, definitions: Definitions) -> str:
    schema = definitions[name]
    required = schema.get("required", [])
    rows = [
        f"| `{field}` | {_type(_collapsed(value))}{', *required*' if field in required else ''} "
        f"| {_cell(value.get('description', ''))} |"
        for field, value in schema["properties"].items()
    ]
    rules = [f"- {_cell(rule['message'])}." for rule in schema.get("x-kubernetes-validations", [])]
    return "\n".join(
        [
            f"## {name}",
            "",
            f"`{path}`: {schema['description']}",
            "",
            "| field | type | description |",
            "|---|---|---|",
            *rows,
            *(["", "Rules:", "", *rules] if rules else []),
            "",
        ]
    )


def _collapsed(schema: dict[str, Any]) -> dict[str, Any]:
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    return options[0] if options else schema


def _type(schema: dict[str, Any]) -> str:
    match schema:
        case {"$ref": reference}:
            name = str(reference).rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"enum": values}:
            return " \\| ".join(f"`{value}`" for value in values)
        case {"const": value}:
            return f"`{value}`"
        case {"x-kubernetes-int-or-string": True}:
            return "quantity"
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": values}:
            return f"map of string to {_type(values)}"
        case {"format": "date-time"}:
            return "time"
        case {"type": "integer" | "number" as kind}:
            return f"{kind}{_range(schema)}"
        case _:
            return str(schema["type"])


def _range(schema: dict[str, Any]) -> str:
    bounds = []
    for key, sign in (("exclusiveMinimum", ">"), ("minimum", "≥"), ("exclusiveMaximum", "<"), ("maximum", "≤")):
        if key in schema:
            bounds.append(f"{sign} {schema[key]:,}" if isinstance(schema[key], int) else f"{sign} {schema[key]:g}")
    return f" ({', '.join(bounds)})" if bounds else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
