"""JSON Schema as pydantic writes it -> the structural schema that a CustomResourceDefinition takes.

A structural schema has one type for each value, no references, and none of JSON Schema's newer words
(https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JSONSchema = dict[str, Any]

# Said before what is nested in it, so that a person who reads the file meets a field's description first.
ORDER = ("description", "type", "format", "enum", "pattern")
# A default in spec would persist after it changed; the rest is pydantic's own.
DROPPED = ("title", "default", "$defs")


def structural(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> JSONSchema:
    """The schema with references inlined and optional values collapsed.

    Raises:
        ValueError: it says something that a structural schema cannot, such as a union of types.
    """
    found = _resolved(schema, definitions)
    out: JSONSchema = {key: value for key, value in found.items() if key not in DROPPED}
    if out.get("additionalProperties") is False:
        del out["additionalProperties"]
    if "const" in out:
        out["enum"] = [out.pop("const")]
    for bound in ("Minimum", "Maximum"):
        # JSON Schema 2020 has a number there, OpenAPI 3.0 a flag beside the number.
        if (limit := out.pop(f"exclusive{bound}", None)) is not None:
            out |= {bound.lower(): limit, f"exclusive{bound}": True}
    if out.get("type") == "integer":
        out["format"] = "int64"
    if "properties" in out:
        out["properties"] = {name: structural(value, definitions) for name, value in out["properties"].items()}
    for nested in ("items", "additionalProperties"):
        if nested in out:
            out[nested] = structural(out[nested], definitions)
    if isinstance(out.get("type"), list) or not ("type" in out or out.get("x-kubernetes-int-or-string")):
        raise ValueError(f"no single type in {out}; a field of the resource has one type, or None beside it")
    return {key: out[key] for key in sorted(out, key=_place)}


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> JSONSchema:
    """Follow references and optionals; what stands beside them (a field's own description) wins."""
    beside = dict(schema)
    if "$ref" in beside:
        name = str(beside.pop("$ref")).removeprefix("#/$defs/")
        return _resolved(definitions[name], definitions) | beside
    for union in ("anyOf", "allOf"):
        if union in beside:
            options = [option for option in beside.pop(union) if option != {"type": "null"}]
            if len(options) != 1:
                raise ValueError(
                    f"{union} of {len(options)} types in {schema}; write a union as sibling optional fields"
                )
            return _resolved(options[0], definitions) | beside
    return beside


def _place(key: str) -> tuple[int, str]:
    if key in ORDER:
        return (ORDER.index(key), key)
    return (len(ORDER) + (key in ("properties", "items", "additionalProperties")), key)
