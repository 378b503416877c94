"""What is read, and what is said about what can't be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_trainer.data.readers import read
from finetune_trainer.failure import Failure

ROWS = [{"text": 'one, "two"\nthree'}, {"text": "née 日本"}]


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS)),
        ("a.JSONL", "\n".join(json.dumps(row) for row in ROWS)),  # no line break at the end
        ("a.ndjson", b"\xef\xbb\xbf" + "".join(json.dumps(row) + "\r\n" for row in ROWS).encode()),
        ("a.jsonl", "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n   \n"),
        ("a.json", json.dumps(ROWS)),
        ("a.json", "\ufeff \n" + json.dumps(ROWS, indent=2, ensure_ascii=False) + "\n"),
        ("a.json", "".join(json.dumps(row) + "\n" for row in ROWS)),  # JSON Lines by another name
        ("a.csv", '\ufefftext\r\n"one, ""two""\nthree"\r\n\r\nnée 日本\r\n'),
    ],
)
def test_same_rows(name: str, content: bytes | str, tmp_path: Path) -> None:
    assert [row.fields for row in read(write(tmp_path / name, content))] == ROWS


def test_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    rows = list(read(tmp_path / "a.parquet"))
    assert [row.fields for row in rows] == ROWS
    assert str(rows[1]) == "row 2 of a.parquet"


def test_folder_in_order_of_names_without_what_is_no_data(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a/z.jsonl", ".hidden/x.jsonl", ".x.jsonl"):
        write(tmp_path / name, json.dumps({"text": name}))
    write(tmp_path / "README.md", "no data")
    write(tmp_path / "dataset_info.json", "{}")
    assert [str(row) for row in read(tmp_path)] == ["row 1 of a/z.jsonl (line 1)", "row 1 of b.jsonl (line 1)"]


def test_rows_and_lines_are_counted_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '\n{"text": "a"}\n\n\n{"text": "b"}\n')
    assert [(row.number, row.line) for row in read(path)] == [(1, 2), (2, 5)]
    path = write(tmp_path / "a.csv", 'text\n"a\nb"\n\nc\n')
    assert [(row.number, row.line) for row in read(path)] == [(1, 2), (2, 5)]
    path = write(tmp_path / "a.json", '[\n{"text":\n "a"},\n\n{"text": "b"}]')
    assert [(row.number, row.line) for row in read(path)] == [(1, 2), (2, 5)]


GOOD = '{"text": "a"}\n'


@pytest.mark.parametrize(
    ("name", "content", "reason", "sentence"),
    [
        (
            "a.jsonl",
            GOOD + '{"text": "b"\n',
            "BrokenJSON",
            "row 2 of a.jsonl (line 2): no valid JSON: Expecting ',' del",
        ),
        (
            "a.jsonl",
            GOOD + "\n{'text': 'b'}\n",
            "BrokenJSON",
            "row 2 of a.jsonl (line 3): no valid JSON: Expecting prop",
        ),
        ("a.jsonl", '{"text": ' + "9" * 5000 + "}", "BrokenJSON", "row 1 of a.jsonl (line 1): no valid JSON: Exceeds"),
        ("a.jsonl", '{"text": ' + "[" * 200_000, "BrokenJSON", "row 1 of a.jsonl (line 1): no valid JSON: nested too"),
        ("a.jsonl", "[\n" + GOOD + "]", "BrokenJSON", "is it a .json file?"),
        ("a.jsonl", GOOD + '"b"\n', "NotAnObject", "row 2 of a.jsonl (line 2): is text, not an object"),
        ("a.jsonl", GOOD + "[1]\n", "NotAnObject", "is a list, not an object"),
        ("a.jsonl", GOOD.encode() + b'{"text": "caf\xe9"}\n', "NotUTF8", "line 2: byte 0xe9 at offset 27 of the file"),
        ("a.csv", b"\xef\xbb\xbftext\ncaf\xe9\n", "NotUTF8", "a.csv, line 2: byte 0xe9 at offset 11 of the file"),
        ("a.jsonl", GOOD.encode("utf-16"), "NotUTF8", "a.jsonl is UTF-16"),
        ("a.json", '{\n "data": []\n}', "NotAList", "a.json is one JSON object"),
        ("a.json", "3", "NotAList", "begins with '3'"),
        ("a.json", '[{"text": "a"},\n{"text": "b"', "BrokenJSON", "row 2 of a.json (line 2): no valid JSON"),
        ("a.json", '[{"text": "a"}', "BrokenJSON", "row 1 of a.json (line 1): no comma or ]"),
        ("a.json", '[{"text": "a"},', "BrokenJSON", "a.json ends inside its list, after row 1"),
        ("a.json", "[", "BrokenJSON", "ends inside its list, after row 0"),
        ("a.json", '[{"text": "a"},]', "BrokenJSON", "row 2 of a.json (line 1)"),
        ("a.json", '[{"text": "a"}] x', "BrokenJSON", "something follows the list, at character 16"),
        ("a.json", '[{"text": "a"},\n 3]', "NotAnObject", "row 2 of a.json (line 2): is a number (3)"),
        ("a.csv", "text,more\na,b\n\nc\n", "BrokenCSV", "row 2 of a.csv (line 4): has 1 fields, the header 2"),
        ("a.csv", 'text\n"a\nb', "BrokenCSV", "row 1 of a.csv (line 2): unexpected end"),
        ("a.csv", "text,text\na,b\n", "BrokenCSV", 'the header has "text" twice'),
        ("a.parquet", b"PAR1 nothing", "BrokenParquet", "a.parquet, after row 0"),
        ("a.txt", "text", "NoDataFiles", "a.txt is no data file; JSONL, JSON, CSV and Parquet"),
        ("folder/a.txt", "text", "NoDataFiles", '(it has "a.txt")'),
    ],
)
def test_broken(name: str, content: bytes | str, reason: str, sentence: str, tmp_path: Path) -> None:
    write(tmp_path / name, content)
    with pytest.raises(Failure) as caught:
        list(read(tmp_path / name.split("/")[0]))
    assert (caught.value.outcome, caught.value.reason) == ("BadData", reason)
    assert sentence in caught.value.message


def test_missing_says_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "data" / "trian.jsonl", GOOD)
    with pytest.raises(Failure, match=r'data has "trian\.jsonl"') as caught:
        list(read(tmp_path / "data" / "train.jsonl"))
    assert caught.value.outcome == "NotFound"


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_long_fields(name: str, tmp_path: Path) -> None:
    """csv refuses fields over 131,072 characters unless it is told otherwise."""
    rows = [{"text": "x" * 300_000}]
    match name:
        case "a.jsonl":
            write(tmp_path / name, json.dumps(rows[0]))
        case "a.json":
            write(tmp_path / name, json.dumps(rows))
        case "a.csv":
            write(tmp_path / name, f"text\n{rows[0]['text']}\n")
        case _:
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    assert [row.fields for row in read(tmp_path / name)] == rows


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.dictionaries(st.text(max_size=4), json_values, max_size=3), max_size=5),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 3]),
)
def test_any_json_is_read_back(
    rows: list[dict[str, Any]], ascii_only: bool, indent: int | None, tmp_path: Path
) -> None:
    def text(value: Any, indent: int | None = None) -> bytes:
        return json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")

    write(tmp_path / "a.json", text(rows, indent))
    write(tmp_path / "a.jsonl", b"".join(text(row) + b"\n" for row in rows))
    assert [row.fields for row in read(tmp_path / "a.json")] == rows
    assert [row.fields for row in read(tmp_path / "a.jsonl")] == rows
