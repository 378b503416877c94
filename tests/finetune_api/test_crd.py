"""The CustomResourceDefinition as it is made: what `kubectl explain` and the API server's budget rest on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from finetune_api import crd
from finetune_api.spec import MUTABLE
from finetune_api.structural import structural

SCHEMA = crd.object_schema()
SPEC = SCHEMA["properties"]["spec"]


def fields(schema: dict[str, Any], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, schema) of everything below a schema."""
    yield at, schema
    for name, below in schema.get("properties", {}).items():
        yield from fields(below, f"{at}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{at}[]")
    if "additionalProperties" in schema:
        yield from fields(schema["additionalProperties"], f"{at}{{}}")


ALL = dict(fields(SCHEMA, "object"))


def test_every_field_has_a_description():
    # a list's or map's plain values have no place for one in `kubectl explain`
    missing = [
        path
        for path, schema in ALL.items()
        if not schema.get("description") and not (path.endswith(("[]", "{}")) and "properties" not in schema)
    ]
    assert missing == ["object.metadata"]  # the API server's own


def test_descriptions_are_sentences():
    assert [path for path, schema in ALL.items() if not schema.get("description", ".").endswith(".")] == []


def test_it_is_structural():
    unknown = {"title", "default", "$ref", "anyOf", "allOf", "oneOf", "const", "prefixItems", "propertyNames"}
    found = [(path, sorted(unknown & set(schema))) for path, schema in ALL.items() if unknown & set(schema)]
    assert found == [("object.status", ["default"])]
    assert all("type" in schema or schema.get("x-kubernetes-int-or-string") for schema in ALL.values())
    assert not [path for path, schema in ALL.items() if schema.get("x-kubernetes-preserve-unknown-fields")]


def test_spec_has_no_defaults():
    assert [path for path, schema in fields(SPEC, "spec") if "default" in schema] == []


def test_everything_in_spec_is_bounded():
    bounds = {"string": "maxLength", "array": "maxItems"}
    unbounded = []
    for path, schema in fields(SPEC, "spec"):
        bound = "maxProperties" if "additionalProperties" in schema else bounds.get(schema.get("type", ""))
        if bound and bound not in schema and "enum" not in schema:
            unbounded.append(path)
    assert unbounded == []


def test_everything_but_the_mutable_is_immutable():
    mutable = [
        name
        for name, schema in SPEC["properties"].items()
        if "self == oldSelf" not in [rule["rule"] for rule in schema.get("x-kubernetes-validations", [])]
    ]
    assert sorted(mutable) == sorted(MUTABLE)
    kept = {rule["rule"] for rule in SPEC["x-kubernetes-validations"]}
    optional = set(SPEC["properties"]) - set(SPEC["required"]) - set(MUTABLE)
    assert {f"has(self.{name}) == has(oldSelf.{name})" for name in optional} <= kept


def test_status_begins_unseen():
    assert SCHEMA["properties"]["status"]["default"] == {"observedGeneration": -1}
    conditions = SCHEMA["properties"]["status"]["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])


def test_columns_lead_somewhere():
    for name, path, _, _ in (*crd.COLUMNS, *crd.WIDE_COLUMNS):
        root = path.split(".")[1]
        if root != "metadata":
            assert "object" + path.replace("[-1:]", "[]") in ALL, name


DEFINED = {"type": "object", "description": "Its own."}


@pytest.mark.parametrize(
    ("schema", "out"),
    [
        ({"type": "integer", "title": "A"}, {"type": "integer", "format": "int64"}),
        ({"anyOf": [{"type": "string", "pattern": "a"}, {"type": "null"}]}, {"type": "string", "pattern": "a"}),
        ({"type": "boolean", "default": None}, {"type": "boolean"}),
        ({"const": "a", "type": "string"}, {"type": "string", "enum": ["a"]}),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 0, "exclusiveMinimum": True}),
        ({"$ref": "#/$defs/D", "description": "Mine."}, {"type": "object", "description": "Mine."}),
        ({"anyOf": [{"$ref": "#/$defs/D"}, {"type": "null"}]}, DEFINED),
        ({"type": "array", "items": {"$ref": "#/$defs/D"}}, {"type": "array", "items": DEFINED}),
    ],
)
def test_structural(schema, out):
    definitions = {"D": DEFINED | {"additionalProperties": False}}
    assert structural(schema, definitions) == out


@pytest.mark.parametrize(
    "schema", [{"anyOf": [{"type": "string"}, {"type": "integer"}]}, {}, {"type": ["string", "null"]}]
)
def test_what_is_not_structural_is_refused(schema):
    with pytest.raises(ValueError, match="type"):
        structural(schema, {})
