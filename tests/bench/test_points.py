"""The published figures can be read, and a bad row is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import points
from bench.points import PointError

HEAD, FIRST, *_ = points.FILE.read_text(encoding="utf-8").splitlines()


def test_each_row_has_its_source() -> None:
    rows = points.read()
    assert len(rows) > 300
    assert all(each.source and each.model for each in rows)
    assert {each.kind for each in rows} == {"measured", "fits", "claimed_min", "estimate"}


def test_a_row_that_is_known() -> None:
    """QwenLM/Qwen's README: 1.8B, LoRA, 8192 tokens: 21.8G."""
    row = next(each for each in points.read() if each.id == 6)
    assert row.measured_bytes == 21_800_000_000
    assert (row.sequence, row.micro_batch, row.checkpointing, row.rank) == ("8192", "1", True, 64)
    assert row.shape is not None
    assert row.shape.layers == 24
    assert not row.held_out


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([FIRST.replace(",GB,", ",MB,")], "line 2: ValueError(\"unit is 'MB'; it must be GB or GiB\")"),
        ([FIRST, FIRST], "line 3: the id 1 is there twice"),
        ([FIRST.replace(",2048,24,", ",2048,many,")], 'line 2: ValueError("invalid literal for int()'),
    ],
)
def test_a_bad_row(rows: list[str], says: str, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("\n".join([HEAD, *rows]))
    with pytest.raises(PointError) as caught:
        points.read(path)
    assert says in str(caught.value)
