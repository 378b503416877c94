"""What docs/sizing.md says of the memory model is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from docs import memory
from finetune_api.schema import wire_name
from finetune_operator.cli import plan
from finetune_operator.sizing.memory import TERMS, USABLE, predict
from finetune_operator.sizing.memory import peak as peaks
from finetune_operator.sizing.setup import Engine

PAGE = (Path(__file__).parents[4] / "docs/sizing.md").read_text()
MEMORY = PAGE.partition("\n## Memory\n")[2].partition("\n## ")[0]


def first_cells(head: str) -> list[str]:
    """Of the table that begins so."""
    lines = MEMORY.partition(f"{head}\n")[2].splitlines()[1:]
    return [line.split(" | ")[0].strip("| ") for line in lines[: lines.index("")]]


def test_every_term_has_its_row() -> None:
    assert first_cells("| term | bytes | source |") == [f"`{term}`" for term in TERMS]


def test_every_moment_has_its_row() -> None:
    named = re.findall(r'_Moment\(\s*"(\w+)"', Path(peaks.__file__).read_text())
    assert first_cells("| moment | what is there |") == list(dict.fromkeys(named))


def test_the_margin() -> None:
    assert f"over {USABLE}" in MEMORY


def test_exit_codes() -> None:
    codes = f"exits with {plan.FITS} if the job fits, {plan.DOES_NOT_FIT} if it does not, {plan.BAD} if"
    assert codes in PAGE


def test_the_example_is_what_is_predicted() -> None:
    shown = {term.strip("`"): float(gib) for term, _, _, gib in memory.example()}
    assert shown["totalGiB"] == round(predict(memory.RUN).total / 2**30, 3)


def test_every_assumption_is_listed() -> None:
    names = [name.strip("`") for name, *_ in memory.assume()]
    assert names == [wire_name(name) for name in Engine.model_fields]
    assert all(what and values for _, values, _, what in memory.assume())
