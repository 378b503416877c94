"""How much a data set is: what training would count, and what is said of one too large to count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_api.contract import TrainerConfig
from finetune_trainer.data import prepare
from finetune_trainer.data.examples import Tokenising
from finetune_trainer.data.measure import Measured, measure
from finetune_trainer.data.report import Counts
from finetune_trainer.failure import Failure
from tests.finetune_trainer.data.tokenizers_made import family

EVERYTHING = 1 << 40
ROWS = [{"prompt": f"question {n}", "completion": "an answer " * (n % 40 + 1)} for n in range(3000)]


def counting(config: TrainerConfig) -> Tokenising:
    longest = config.training.max_sequence_length
    assert longest is not None
    return Tokenising(config.dataset, family("chatml"), longest=longest, seed=config.training.seed)


@pytest.mark.parametrize("dataset", [{}, {"validationFraction": 0.1}, {"overlong": "drop"}])
def test_what_is_counted_is_what_is_trained_on(
    make_config: Callable[..., TrainerConfig], write_rows: Callable[..., Path], dataset: dict[str, Any]
) -> None:
    config, path = make_config(dataset, maxSequenceLength=64), write_rows(*ROWS)
    measured = measure(counting(config), path, most_tokens=EVERYTHING, processes=1)
    trained = prepare(config, family("chatml"), path)
    fraction = config.dataset.validation_fraction
    here, held = measured.divided(fraction, 1.0) if fraction else (measured.whole(1.0), None)
    assert (here.rows, here.tokens, here.trained_tokens) == (trained.rows, trained.tokens, trained.trained_tokens)
    if held is not None:
        assert trained.validation_counts is not None
        assert (held.rows, held.tokens) == (trained.validation_counts.examples, trained.validation_counts.tokens)
    whole = prepare(make_config(dataset, maxSequenceLength=4096), family("chatml"), path)
    assert here.tokens + here.lost_tokens == pytest.approx(whole.tokens, abs=0 if held is None else 2)


def of_lengths(lengths: list[int], *, cut: int = 1 << 30, scale: float = 1.0) -> Measured:
    """As if examples of these lengths had been read and cut."""
    values = np.asarray(lengths, dtype=np.int64)
    kept = np.minimum(values, cut)
    keys = np.arange(len(values), dtype=np.uint64)
    return Measured(values, kept, kept // 2, keys, Counts(rows=len(lengths)), scale)


@pytest.mark.parametrize(
    ("lengths", "p99", "longest"),
    [
        ([7], 7, 7),
        ([10] * 99 + [5000], 10, 5000),  # 99 of 100 have at most 10
        ([10] * 98 + [20, 5000], 20, 5000),
        (list(range(1, 201)), 198, 200),
    ],
)
def test_the_99th_percentile_is_an_examples_length(lengths: list[int], p99: int, longest: int) -> None:
    side = of_lengths(lengths).whole(1.0)
    assert (side.p99, side.longest) == (p99, longest)


def test_what_is_cut_is_lost() -> None:
    side = of_lengths([10, 10, 100], cut=40).whole(1.0)
    assert (side.rows, side.tokens, side.lost_tokens, side.longest) == (3, 60, 60, 100)


def test_numbers_of_a_part_are_multiplied_and_lengths_are_not() -> None:
    side = of_lengths([10, 30], scale=4.0).whole(0.5)
    assert (side.rows, side.tokens, side.longest) == (16, 320, 30)


def test_of_a_large_data_set_a_part_becomes_tokens_and_every_row_is_counted(
    make_config: Callable[..., TrainerConfig], write_rows: Callable[..., Path]
) -> None:
    config, path = make_config(maxSequenceLength=512), write_rows(*ROWS)
    whole = measure(counting(config), path, most_tokens=EVERYTHING, processes=1).whole(1.0)
    part = measure(counting(config), path, most_tokens=1000, processes=1)
    assert part.counts.rows == 1024, "a block of rows"
    assert part.scale == pytest.approx(3000 / 1024)
    assert part.whole(1.0).rows == 3000
    assert part.whole(1.0).tokens == pytest.approx(whole.tokens, rel=0.05)


@pytest.mark.parametrize("broken", [{"prompt": "why", "completion": ""}, {"text": "of another format"}])
def test_rows_beyond_the_part_are_checked(
    make_config: Callable[..., TrainerConfig], write_rows: Callable[..., Path], broken: dict[str, str]
) -> None:
    path = write_rows(*ROWS[:2000], broken, *ROWS[2000:])
    with pytest.raises(Failure, match=r"row 2001 of train\.jsonl"):
        measure(counting(make_config()), path, most_tokens=1000, processes=1)
