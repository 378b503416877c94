"""YAML as kubectl reads it, which is not as PyYAML does: 2e-4 is a number there and a string here.

kubectl converts YAML to JSON with sigs.k8s.io/yaml, on go-yaml v2. Its rules for plain scalars are in go-yaml's
resolve.go, those for keys, nulls and numbers in sigs.k8s.io/yaml's yaml.go; both are followed here, on PyYAML's
parser. One thing is stricter: of two equal keys kubectl takes the last in silence, and here that is an error.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

# Of a value in a document: ("spec", "mix", 0, "source").
Path = tuple[str | int, ...]


class YAMLError(ValueError):
    """The text cannot be read as kubectl would read it."""

    def __init__(self, line: int | None, cause: str) -> None:
        """`line` counts from 1; None: not known."""
        super().__init__(cause)
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: JSON values, and the line that each key or list item is on, counting from 1."""

    value: Any
    lines: Mapping[Path, int]


def documents(text: str) -> list[Document]:
    """Every document that is not empty. Text that is JSON is read as JSON.

    Raises:
        YAMLError: the text is neither, has a key twice, or a value that JSON doesn't have.
    """
    if text.lstrip().startswith("{"):
        try:
            value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        except json.JSONDecodeError:
            pass  # a flow mapping, or JSON with a mistake: the YAML parser says where
        else:
            return [Document(_as_json(value), _lines_of_json(text))]
    found = [_document(node) for node in _nodes(text)]
    return [document for document in found if document.value is not None]


def _nodes(text: str) -> Iterator[yaml.Node]:
    try:
        yield from yaml.compose_all(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YAMLError(mark.line + 1 if mark else None, f"is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise YAMLError(None, f"is not YAML: {error}") from None
    except RecursionError:
        raise YAMLError(None, "is nested too deeply") from None


def _document(node: yaml.Node) -> Document:
    lines: dict[Path, int] = {(): node.start_mark.line + 1}
    return Document(_as_json(_value(node, (), lines, frozenset())), lines)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser without its ideas of what a scalar means."""

    def resolve(self, kind: Any, _value: Any, implicit: Any) -> str:
        """An empty tag for what is to be resolved, !!str for what was quoted."""
        return "" if kind is not yaml.ScalarNode or implicit[0] else STRING


STRING = "tag:yaml.org,2002:str"
TAGS = {f"tag:yaml.org,2002:{name}": name for name in ("str", "int", "float", "bool", "null", "timestamp")}


def _value(node: yaml.Node, at: Path, lines: dict[Path, int], open_nodes: frozenset[int]) -> Any:
    if id(node) in open_nodes:
        raise YAMLError(node.start_mark.line + 1, "an anchor's value contains itself")
    open_nodes |= {id(node)}
    match node:
        case yaml.MappingNode():
            return _mapping(node, at, lines, open_nodes)
        case yaml.SequenceNode():
            for index, item in enumerate(node.value):
                lines[(*at, index)] = item.start_mark.line + 1
            return [_value(item, (*at, index), lines, open_nodes) for index, item in enumerate(node.value)]
        case _:
            value = _scalar(node)
            if isinstance(value, float) and not math.isfinite(value):
                raise YAMLError(node.start_mark.line + 1, f"`{node.value}` is not a number that JSON has")
            return value


def _mapping(node: yaml.MappingNode, at: Path, lines: dict[Path, int], open_nodes: frozenset[int]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    given: set[str] = set()
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if isinstance(key_node, yaml.ScalarNode) and key_node.tag == "" and key_node.value == "<<":
            # go-yaml merges where the << stands: keys before it are overridden, keys after it override.
            for source in reversed(_merged(value_node)):
                out |= _mapping(source, at, lines, open_nodes)
            continue
        key = _key(key_node)
        if key in given:
            raise YAMLError(line, f'key "{key}" is given twice; remove one')
        given.add(key)
        lines[(*at, key)] = line
        out[key] = _value(value_node, (*at, key), lines, open_nodes)
    return out


def _merged(node: yaml.Node) -> list[yaml.MappingNode]:
    sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not all(isinstance(source, yaml.MappingNode) for source in sources):
        raise YAMLError(node.start_mark.line + 1, "<< takes a mapping or a list of mappings")
    return list(sources)


def _key(node: yaml.Node) -> str:
    match _scalar(node) if isinstance(node, yaml.ScalarNode) else None:
        case bool() as key:
            return str(key).lower()
        case str() as key:
            return key
        case int() | float() as key:
            return f"{key:.9g}" if isinstance(key, float) else str(key)
        case _:
            raise YAMLError(node.start_mark.line + 1, "a key must be a string")


def _scalar(node: yaml.Node) -> Any:
    text, tag = str(node.value), node.tag
    if tag not in ("", *TAGS):
        return text  # go-yaml leaves what it does not know as it is
    value = text if tag == STRING else resolve(text)
    wanted = TAGS.get(tag, "")
    if wanted in ("", "str", _kind(value)) or (wanted == "float" and _kind(value) == "int"):
        return value
    if wanted == "timestamp" and isinstance(value, str):
        return value
    raise YAMLError(node.start_mark.line + 1, f"`{text}` is not of the type !!{wanted}")


WORDS: dict[str, Any] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
}
# strconv.ParseInt with base 0: a leading 0 is octal, and so is 0o.
INTEGERS = (
    (re.compile(r"0[xX]([0-9a-fA-F]+)"), 16),
    (re.compile(r"0[bB]([01]+)"), 2),
    (re.compile(r"0[oO]?([0-7]+)"), 8),
    (re.compile(r"(0|[1-9][0-9]*)"), 10),
)
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def resolve(text: str) -> Any:
    """What a plain scalar means to go-yaml v2; dates stay strings."""
    if text in WORDS:
        return WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    plain = text if text[0] == "." else text.replace("_", "")
    digits = plain[1:] if plain[:1] in ("+", "-") else plain
    for pattern, base in INTEGERS:
        if found := pattern.fullmatch(digits):
            value = int(found[1], base)
            # beyond 64 bits Go goes on to read a decimal as a float, and the others as a string
            if -(2**63) <= (-value if plain[0] == "-" else value) < 2**64:
                return -value if plain[0] == "-" else value
    if FLOAT.fullmatch(plain) and math.isfinite(float(plain)):
        return float(plain)
    return text


def _kind(value: Any) -> str:
    names = {bool: "bool", int: "int", float: "float", str: "str", type(None): "null"}
    return names[type(value)]


def _as_json(value: Any) -> Any:
    """As it arrives at the API server: 3.0 is 3, and a key whose value is null is not there."""
    match value:
        case dict():
            return {key: _as_json(below) for key, below in value.items() if below is not None}
        case list():
            return [_as_json(below) for below in value]
        case float() if not math.isfinite(value):
            raise YAMLError(None, f"{value} is not a number that JSON has")
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        keys = [key for key, _ in pairs]
        raise YAMLError(None, f'key "{next(k for k in keys if keys.count(k) > 1)}" is given twice; remove one')
    return out


def _no_constant(name: str) -> Any:
    raise YAMLError(None, f"{name} is not a number that JSON has")


def _lines_of_json(text: str) -> Mapping[Path, int]:
    try:
        return {path: line for node in _nodes(text) for path, line in _document(node).lines.items()}
    except YAMLError:
        return {}  # JSON that YAML cannot read, such as one indented by tabs: then errors have no line
