"""Who is held out: decided by content and seed alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.data.split import hold_out, key
from finetune_trainer.failure import Failure

ROWS = [f"row {number}" for number in range(1000)]


def held(rows: list[str], fraction: float, seed: int = 1) -> set[str]:
    _, numbers = hold_out([key(row, seed) for row in rows], fraction)
    return {rows[number] for number in numbers}


@pytest.mark.parametrize(("fraction", "count"), [(0.05, 50), (0.5, 500), (0.0001, 1), (0.99999, 999)])
def test_size(fraction: float, count: int) -> None:
    assert len(held(ROWS, fraction)) == count


def test_order_of_rows_does_not_matter() -> None:
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    assert held(shuffled, 0.1) == held(ROWS, 0.1)


def test_seed_matters() -> None:
    assert held(ROWS, 0.1, seed=1) != held(ROWS, 0.1, seed=2)


def test_new_rows_move_few() -> None:
    before, after = held(ROWS, 0.1), held([*ROWS, *(f"new {number}" for number in range(100))], 0.1)
    assert len(before - after) < 25


@given(st.lists(st.integers(0, 6), min_size=2, max_size=30), st.floats(0.01, 0.99))
def test_both_sides_have_rows_and_share_none(rows: list[int], fraction: float) -> None:
    if len(set(rows)) < 2:
        with pytest.raises(Failure, match="can't be divided"):
            hold_out(rows, fraction)
        return
    train, validation = hold_out(rows, fraction)
    assert len(train)
    assert len(validation)
    assert sorted([*train, *validation]) == list(range(len(rows)))
    assert not {rows[number] for number in train} & {rows[number] for number in validation}
