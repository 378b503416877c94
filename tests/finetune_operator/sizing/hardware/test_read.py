"""Rows from a file: what they change, and what is said of wrong ones."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.sizing.hardware import Hardware, Price, Table, builtin
from finetune_operator.sizing.hardware.read import HardwareError, parse, read

TODAY = date(2026, 6, 1)
FILE = Path("ours.yaml")
COMPLETE = "memoryGiB: 10, bf16: true, tflops: 10, bandwidthGBs: 100"


def table(text: str) -> Table:
    return parse(text, FILE, today=TODAY)


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]"])
def test_nothing_changes_nothing(text: str) -> None:
    assert table(text) == builtin()


def test_a_known_row_keeps_what_is_not_given() -> None:
    before = builtin().row("A100-80GB")
    after = table("- {name: A100-80GB, perNode: 4}").row("A100-80GB")
    assert after == before.model_copy(update={"per_node": 4})
    assert table("- {name: a100-80gb-sxm, perNode: 4}").row("A100-80GB") == after  # an alias, in any case


def test_a_price_is_given_whole_and_null_takes_it_away() -> None:
    priced = table("- {name: T4, price: {spot: 0.1, date: 2026-05-01}}").row("T4")
    assert priced.price == Price(on_demand=None, spot=0.1, date=date(2026, 5, 1))
    assert table("- {name: T4, price: null}").row("T4").price is None


def test_another_name_adds_a_row() -> None:
    text = f"- {{name: Z9, resource: example.com/gpu, label: example.com/kind, products: [z9], {COMPLETE}}}"
    after = table(text)
    assert list(after)[:-1] == list(builtin())
    assert after.row("z9").label == "example.com/kind"
    node = {"metadata": {"labels": {"example.com/kind": "z9"}}, "status": {"allocatable": {"example.com/gpu": "1"}}}
    assert after.of_node(node) == after.row("z9")


def test_the_tables_own_rows_change_nothing() -> None:
    assert table(json.dumps([row.to_json() for row in builtin()])) == builtin()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- name: T4\n  price:\n    onDemand: -1\n    date: 2026-01-01", "ours.yaml:3: row T4: price.onDemand: "),
        ("- name: T4\n  price:\n    onDemand: 1", "ours.yaml:2: row T4: price.date: is missing"),
        (
            "- {name: T4, price: {date: 2026-06-02}}",
            "ours.yaml:1: row T4: price.date: 2026-06-02 is in the future; give",
        ),
        ("- name: T4\n  memroyGiB: 15", "ours.yaml:2: row T4: memroyGiB: no such field; did you mean memoryGiB?"),
        ("- {name: T4, price: {date: 2026-01-01, x: 1}}", "row T4: price.x: no such field; there are onDemand, spot,"),
        ("- {name: T4, memory_gib: 15}", "row T4: memory_gib: no such field; did you mean memoryGiB?"),
        ("- {name: T4, memoryGiB: 0}", "row T4: memoryGiB: Input should be greater than 0"),
        ("- {name: T4, memoryGiB: .nan}", "row T4: memoryGiB: Input should be "),
        ("- {name: T4, tflops: null}", "row T4: tflops: a row with products must say it"),
        (
            "- {name: T4, interconnect: {kind: token-ring}}",
            "row T4: interconnect.kind: Input should be 'nvlink', 'xgmi'",
        ),
        ("- {name: Z9, products: [z9], memoryGiB: 10}", "row Z9: bf16, tflops, bandwidthGBs: a row with products must"),
        (f"- {{name: a b, {COMPLETE}}}", "row a b: name: String should match pattern"),
        ("- {name: T4}\n- {name: t4}", "ours.yaml:2: row T4: is in line 1 already; make one row of the two"),
        ("- {name: H100}\n- {name: H100-80GB}", "ours.yaml:2: row H100-80GB: is in line 1 already"),
        ("- {name: Z9, aliases: [h100]}", "ours.yaml:1: row Z9 and row H100-80GB: both are called h100; names and"),
        (
            f"- {{name: Z9, resource: nvidia.com/gpu, products: [NVIDIA-L4], {COMPLETE}}}",
            "ours.yaml:1: row Z9 and row L4: both have nvidia.com/gpu where nvidia.com/gpu.product is NVIDIA-L4; give",
        ),
        (
            "- {name: RTX-3060, otherLabels: {cloud.google.com/gke-accelerator: [nvidia-l4]}}",
            "ours.yaml:1: row RTX-3060 and row L4: both have nvidia.com/gpu where cloud.google.com/gke-accelerator is",
        ),
        ("- {name: Z9, otherLabels: {kind: [z9]}}", "ours.yaml:1: row Z9: otherLabels: must be of labels beside"),
        ("- {name: L4, otherLabels: {nvidia.com/gpu.product: [L4]}}", "row L4: otherLabels: must be of labels beside"),
        ("- {name: L4, otherLabels: {kind: z9}}", "row L4: otherLabels.kind: Input should be a valid tuple"),
        ("- {name: L4, products: [Tesla-T4]}", "ours.yaml:1: row L4 and row T4: both have nvidia.com/gpu where"),
        ("- 3", "ours.yaml:1: must be a mapping with a name"),
        ("- {memoryGiB: 3}", "ours.yaml:1: must be a mapping with a name"),
        ("T4: {memoryGiB: 3}", "ours.yaml:1: must be a list of rows"),
        ("- {name: T4", "ours.yaml:1: is not YAML"),
        ("- name: T4\n  name: L4", "ours.yaml:2: [0].name: is given twice"),
        ("- {name: T4, price: {date: 2026-02-30}}", "ours.yaml: is not YAML: day is out of range"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(HardwareError) as caught:
        table(text)
    assert said in str(caught.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(HardwareError) as caught:
        table("- {name: T4, tflops: -1, bandwidthGBs: x}\n- {name: L4, perNode: 0}")
    assert [line.split(": ")[2] for line in str(caught.value).splitlines()] == ["tflops", "bandwidthGBs", "perNode"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HardwareError, match=r"ours\.yaml: cannot be read"):
        read(tmp_path / "ours.yaml", today=TODAY)
    (tmp_path / "ours.yaml").write_text("- {name: T4, perNode: 2}")
    assert read(tmp_path / "ours.yaml", today=TODAY).row("T4").per_node == 2


changes = st.fixed_dictionaries(
    {},
    optional={
        "memoryGiB": st.floats(0.1, 1000),
        "tflops": st.floats(0.1, 1e5),
        "bf16": st.booleans(),
        "perNode": st.integers(1, 72),
        "price": st.none() | st.fixed_dictionaries({"onDemand": st.floats(0, 1e3), "date": st.just("2026-01-01")}),
    },
)


@given(st.dictionaries(st.sampled_from([row.name for row in builtin()]), changes, max_size=4))
def test_a_row_changes_itself_alone_and_twice_is_once(rows: dict[str, dict[str, object]]) -> None:
    text = json.dumps([{"name": name, **fields} for name, fields in rows.items()])
    once = table(text)
    assert parse(text, FILE, today=TODAY, over=once) == once
    for before, after in zip(builtin(), once, strict=True):
        wanted = before.to_json() | rows.get(before.name, {})
        assert after == Hardware.model_validate({name: value for name, value in wanted.items() if value is not None})
