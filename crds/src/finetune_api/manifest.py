"""Reads a job file as kubectl and the API server would, for those who have neither.

What the API server accepts is accepted and what it refuses is refused, for the same reason, with the file, the line
and the field in front of it. The cases in tests/finetune_api/*_cases.py are put to both.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune_api import KIND, crd, kubeyaml
from finetune_api.job import FineTuneJob
from finetune_api.kubeyaml import Document

# Of metav1.ObjectMeta: the API server refuses others as unknown.
METADATA_FIELDS = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a file."""

    line: int | None
    field: str
    cause: str


class ManifestError(ValueError):
    """The file is no usable job; the text has one line for each problem: file, line, field, cause."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        """`problems` in the order in which they are to be read."""
        super().__init__("\n".join(_sentence(file, problem) for problem in problems))
        self.problems = tuple(problems)


def read(path: Path, *, name: str | None = None) -> FineTuneJob:
    """The FineTuneJob in a YAML or JSON file: the only one, or the one called `name`. Other kinds are passed over.

    Raises:
        ManifestError: the file cannot be read, has no such job or several, or the job is not valid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else f"is not UTF-8 text: {error}"
        raise ManifestError(str(path), [Problem(None, "", f"cannot be read: {cause}")]) from None
    return parse(text, file=str(path), name=name)


def parse(text: str, *, file: str, name: str | None = None) -> FineTuneJob:
    """The same from text; `file` is what messages call it.

    Raises:
        ManifestError: as `read`.
    """
    try:
        objects = [each for document in kubeyaml.documents(text) for each in _objects(document)]
    except kubeyaml.YAMLError as error:
        raise ManifestError(file, [Problem(error.line, "", str(error))]) from None
    return _validated(file, _chosen(file, objects, name))


def _objects(document: Document) -> Iterator[Document]:
    """The document, or what is in it where it is a List."""
    match document.value:
        case {"kind": "List", "items": list() as items}:
            for index, item in enumerate(items):
                prefix = ("items", index)
                lines = {path[2:]: line for path, line in document.lines.items() if path[:2] == prefix}
                yield Document(item, lines)
        case _:
            yield document


def _chosen(file: str, objects: Iterable[Document], name: str | None) -> Document:
    objects = list(objects)
    named = [(_name(each), each) for each in objects if _kind(each) == KIND]
    jobs = dict(named)
    if len(jobs) < len(named):
        twice = next(found for found, _ in named if [other for other, _ in named].count(found) > 1)
        raise ManifestError(file, [Problem(None, "", f"has {len(named)} of kind {KIND} called {twice}; remove one")])
    if name is not None and name in jobs:
        return jobs[name]
    if name is None and len(jobs) == 1:
        return next(iter(jobs.values()))
    if not jobs:
        kinds = sorted({_kind(each) for each in objects})
        cause = f"has no {KIND}" + (f", only {', '.join(kinds)}" if kinds else ": it is empty")
    elif name is None:
        cause = f"has {len(jobs)} of kind {KIND} ({', '.join(jobs)}); say which with --name"
    else:
        cause = f"has no {KIND} called {name}; it has {', '.join(jobs)}"
    raise ManifestError(file, [Problem(None, "", cause)])


def _kind(document: Document) -> str:
    kind = document.value.get("kind") if isinstance(document.value, dict) else None
    return kind if isinstance(kind, str) else "something without a kind"


def _name(document: Document) -> str:
    metadata = document.value.get("metadata")
    return str(metadata.get("name", "(no name)")) if isinstance(metadata, dict) else "(no name)"


def _validated(file: str, document: Document) -> FineTuneJob:
    # The API server drops the status of what is created: it is not the file's to say.
    value = {key: below for key, below in document.value.items() if key != "status"}
    problems = list(_unknown_metadata(value, document.lines))
    try:
        job = FineTuneJob.model_validate(value, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        problems += [_problem(each, document.lines) for each in error.errors()]
    if problems:
        raise ManifestError(file, sorted(problems, key=lambda problem: problem.line or 0))
    return job


def _unknown_metadata(value: Mapping[str, Any], lines: Mapping[kubeyaml.Path, int]) -> Iterator[Problem]:
    metadata = value.get("metadata")
    for key in metadata if isinstance(metadata, dict) else ():
        if key not in METADATA_FIELDS:
            yield Problem(lines.get(("metadata", key)), f"metadata.{key}", _unknown(key, METADATA_FIELDS))


def _problem(error: Any, lines: Mapping[kubeyaml.Path, int]) -> Problem:
    at: kubeyaml.Path = tuple(error["loc"])
    if (field := error.get("ctx", {}).get("field")) and error["type"] == "rule":
        at = (*at, field)
    line = next((lines[at[:end]] for end in range(len(at), -1, -1) if at[:end] in lines), None)
    return Problem(line, _field(at), _cause(error, at))


def _cause(error: Any, at: kubeyaml.Path) -> str:
    """pydantic's error in the words of a job file."""
    given, ctx = error["input"], error.get("ctx", {})
    if at == ("metadata", "name") and error["type"].startswith("string_") and error["type"] != "string_type":
        return crd.NAME_RULE["message"]
    match error["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return _unknown(str(at[-1]), _known(at[:-1]))
        case "string_type":
            return f"must be a string, not {_shown(given)}; put it in quotes"
        case "int_type" | "int_from_float" | "int_parsing":
            return f"must be an integer, not {_shown(given)}{_unquote(given)}"
        case "float_type" | "float_parsing":
            return f"must be a number, not {_shown(given)}{_unquote(given)}"
        case "bool_type" | "bool_parsing":
            return f"must be true or false, not {_shown(given)}{_unquote(given)}"
        case "list_type":
            return f"must be a list, not {_shown(given)}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"must be a mapping, not {_shown(given)}"
        case "literal_error":
            allowed = _known_values(at)
            return f"must be {' or '.join(allowed)}, not {_shown(given)}{_suggestion(given, allowed)}"
        case "string_pattern_mismatch":
            description = _schema_at(at).get("description")
            return f"{_shown(given)} does not have the form {ctx['pattern']}" + (
                f" ({description})" if description else ""
            )
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            sign = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
            bound = next(iter(set(ctx) & set(sign)))
            return f"must be {sign[bound]} {_shown(ctx[bound])}, not {_shown(given)}"
        case _:
            text = str(error["msg"])
            return text[0].lower() + text[1:]


def _unknown(key: str, known: Sequence[str]) -> str:
    suggestion = _suggestion(key, known)
    return "unknown field" + (suggestion or (f"; known here: {', '.join(known)}" if known else ""))


def _suggestion(given: Any, known: Sequence[str]) -> str:
    folded = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(given).lower().replace("_", ""), folded, n=1)
    return f'; did you mean "{folded[near[0]]}"?' if near else ""


def _schema_at(at: kubeyaml.Path) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = crd.object_schema()
    for part in at:
        below = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
        schema = below or schema.get("additionalProperties") or {}
    return schema


def _known(at: kubeyaml.Path) -> list[str]:
    return list(_schema_at(at).get("properties", ()))


def _known_values(at: kubeyaml.Path) -> list[str]:
    if at in (("apiVersion",), ("kind",)):
        annotation = FineTuneJob.model_json_schema()["properties"][at[0]]
        return [str(annotation["const"])]
    return [str(value) for value in _schema_at(at).get("enum", ())]


def _shown(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "null"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def _unquote(value: Any) -> str:
    return "; take the quotes away" if isinstance(value, str) and not isinstance(kubeyaml.resolve(value), str) else ""


def _field(at: kubeyaml.Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at)
    return text.removeprefix(".")


def _sentence(file: str, problem: Problem) -> str:
    place = file if problem.line is None else f"{file} line {problem.line}"
    return ": ".join(part for part in (place, problem.field, problem.cause) if part)
