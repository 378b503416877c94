"""Reads the settings: a YAML file, overridden by FINETUNE_* environment variables, validated before anything runs."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import ValidationError

from finetune_api.schema import Schema, wire_name
from finetune_operator import numbered_yaml
from finetune_operator.numbered_yaml import Location, field_path
from finetune_operator.settings import Settings

ENV_PREFIX = "FINETUNE_"
# Kubernetes puts a variable per Service into every pod (FINETUNE_OPERATOR_SERVICE_HOST ...), and other tools of the
# project have variables of their own, so an unknown one is no error; one that is nearly right is.
NEARLY_RIGHT = 0.85


class SettingsError(ValueError):
    """The settings cannot be used; the text names file and line or variable, field and cause."""


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings file, then FINETUNE_LOG_LEVEL, FINETUNE_TRAINER__IMAGE and the like (`__` descends).

    Raises:
        SettingsError: the file is missing, is not YAML, or a value is not allowed.
    """
    data, lines = _read(path) if path is not None else ({}, {})
    variables: dict[Location, str] = {}
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX):
            _override(data, variables, name, environ[name])
    try:
        return Settings.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(e, path, lines, variables) for e in error.errors())) from None


def _read(path: Path) -> tuple[dict[str, Any], dict[Location, int]]:
    """The file's content, and the line of each key in it."""
    try:
        data, lines = numbered_yaml.read(path)
    except numbered_yaml.UnreadableError as error:
        raise SettingsError(str(error)) from None
    if data is None:
        return {}, {}
    if not isinstance(data, dict):
        raise SettingsError(f"{path}:1: must be a mapping of settings, such as `logLevel: debug`")
    return data, lines


def _override(data: dict[str, Any], variables: dict[Location, str], name: str, value: str) -> None:
    """Put one variable's value where it belongs, and remember that it came from there."""
    segments = name.removeprefix(ENV_PREFIX).split("__")
    schema: type[Schema] = Settings
    at: list[str] = []
    for depth, segment in enumerate(segments):
        fields = schema.model_fields
        field = segment.lower()
        if field not in fields:
            if depth == 0:
                near = difflib.get_close_matches(field, fields, n=1, cutoff=NEARLY_RIGHT)
                if not near:
                    return
                raise SettingsError(f"{name}: no such setting; did you mean {ENV_PREFIX}{near[0].upper()}?")
            raise SettingsError(f"{name}: {field_path(at)} has no {field}; it has {', '.join(sorted(fields))}")
        at.append(wire_name(field))
        annotation = fields[field].annotation
        rest = segments[depth + 1 :]
        if isinstance(annotation, type) and issubclass(annotation, Schema):
            schema = annotation
        elif get_origin(annotation) is dict and rest:
            _put(data, [*at, "__".join(rest)], value, name)
            variables[(*at, "__".join(rest))] = name
            return
        elif rest:
            raise SettingsError(f"{name}: {field_path(at)} is a value and has nothing below it")
        else:
            _put(data, at, _parse(value) if get_origin(annotation) in (list, dict) else value, name)
            variables[tuple(at)] = name
            return
    raise SettingsError(
        f"{name}: {field_path(at)} is a group; set one of its fields, as {name}__{_first(schema).upper()}"
    )


def _first(schema: type[Schema]) -> str:
    return next(iter(schema.model_fields))


def _parse(value: str) -> Any:
    """A list is written as a,b; anything else as YAML."""
    if value.lstrip().startswith(("[", "{")):
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError:
            return value  # the validation says what it should have been
    return [part.strip() for part in value.split(",") if part.strip()]


def _put(data: dict[str, Any], at: Sequence[str], value: Any, name: str) -> None:
    for key in at[:-1]:
        below = data.setdefault(key, {})
        if not isinstance(below, dict):
            raise SettingsError(f"{name}: {key} of the settings file must be a mapping")
        data = below
    data[at[-1]] = value


def _explain(error: Any, path: Path | None, lines: Mapping[Location, int], variables: Mapping[Location, str]) -> str:
    at: Location = tuple(error["loc"])
    cause = "no such setting" if error["type"] == "extra_forbidden" else error["msg"]
    # a union adds its branch to the location; the longest part of it that somebody wrote is where the error is
    for end in range(len(at), 0, -1):
        if at[:end] in variables:
            return f"{variables[at[:end]]}: {field_path(at)}: {cause}"
        if at[:end] in lines:
            return f"{path}:{lines[at[:end]]}: {field_path(at)}: {cause}"
    return f"{path or 'settings'}: {field_path(at)}: {cause}"
