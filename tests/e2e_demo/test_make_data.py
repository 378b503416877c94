from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from e2e.demo import make_data
from e2e.demo.make_data import LABELS, rows


def test_the_labels_are_equally_frequent_and_the_order_is_not_theirs() -> None:
    labels = [row[-1]["content"] for row in rows("train", 600)]
    assert Counter(labels) == dict.fromkeys(LABELS, 150)
    assert labels[:8] != list(LABELS) * 2


def test_the_same_rows_every_time() -> None:
    assert rows("train", 20) == rows("train", 20)
    assert rows("train", 20) != rows("train", 20, seed=1)


def test_no_held_out_row_has_a_filling_that_was_trained_on() -> None:
    held_out = [row[0]["content"] for row in rows("test", 120)]
    words = {word.strip(".,?") for text in held_out for word in text.split()}
    for fillings in (make_data._ITEMS, make_data._NAMES, make_data._DAYS):
        assert not set(fillings["train"]) & set(fillings["test"])
        assert not set(fillings["train"]) & words
        assert set(fillings["test"]) & words


def test_the_files(tmp_path: Path) -> None:
    train, test = make_data.make_data(tmp_path / "new")
    assert (train.name, test.name) == ("train.jsonl", "test.jsonl")
    first = json.loads(train.read_text().splitlines()[0])
    assert [message["role"] for message in first["messages"]] == ["user", "assistant"]
    assert len(train.read_text().splitlines()) == make_data.TRAIN_ROWS
    assert len(test.read_text().splitlines()) == make_data.TEST_ROWS
