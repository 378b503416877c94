"""The whole way from files to data sets: lengths, splits, packs, and the same again on a resume."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.data import prepare
from finetune_trainer.failure import Failure
from tests.finetune_trainer.data.tokenizers_made import family


def rows(count: int, words: int = 3) -> list[dict[str, Any]]:
    return [{"prompt": f"hello {number} ", "completion": "test " * words + str(number)} for number in range(count)]


def test_packs_hold_the_examples_as_they_were(prepared_rows: Any) -> None:
    tokenizer = family("base")
    alone = prepared_rows(tokenizer, *rows(40))
    packed = prepared_rows(tokenizer, *rows(40), training={"packing": True})
    assert packed.packed
    assert alone.packs_per_step is None
    found = []
    for row in packed.train:
        assert len(row["input_ids"]) == len(row["labels"]) == sum(row["seq_lengths"]) <= packed.pack_length
        place = 0
        for length in row["seq_lengths"]:
            found.append((row["input_ids"][place : place + length], row["labels"][place : place + length]))
            place += length
    assert sorted(found) == sorted((row["input_ids"], row["labels"]) for row in alone.train)
    assert packed.examples_per_step == pytest.approx(4, rel=0.1)
    assert packed.packs_per_step == 1


def test_the_collator_keeps_labels_and_positions(prepared_rows: Any) -> None:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    packed = prepared_rows(family("base"), *rows(8), training={"packing": True})
    row = packed.train[0]
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)([row])
    assert batch["labels"][0].tolist() == row["labels"]
    assert batch["position_ids"][0].tolist() == [at for length in row["seq_lengths"] for at in range(length)]


def test_counts(prepared_rows: Any) -> None:
    prepared = prepared_rows(family("base"), *rows(20), validationFraction=0.25)
    assert (prepared.counts.rows, prepared.rows, len(prepared.validation)) == (20, 15, 5)
    assert prepared.tokens == sum(len(row["input_ids"]) for row in prepared.train)
    assert prepared.trained_tokens == sum(label != -100 for row in prepared.train for label in row["labels"])
    assert prepared.counts.tokens == prepared.tokens + prepared.validation_counts.tokens


@pytest.mark.parametrize(("policy", "kept", "overlong", "truncated"), [("truncate", 2, 1, 1), ("drop", 1, 2, 0)])
def test_overlong(policy: str, kept: int, overlong: int, truncated: int, prepared_rows: Any) -> None:
    long_response = {"prompt": "hello ", "completion": "test " * 200}
    long_prompt = {"prompt": "hello " * 200, "completion": "test"}
    fits = {"prompt": "hello ", "completion": "test"}
    prepared = prepared_rows(
        family("base"), long_response, long_prompt, fits, overlong=policy, training={"maxSequenceLength": 20}
    )
    counts = prepared.counts
    assert (counts.examples, counts.overlong, counts.truncated) == (kept, overlong, truncated)
    for row in prepared.train:
        assert len(row["input_ids"]) <= 20
        assert any(label != -100 for label in row["labels"])


def test_a_row_at_the_limit_is_whole(prepared_rows: Any) -> None:
    row = {"prompt": "hello ", "completion": "test"}
    length = prepared_rows(family("base"), row).counts.tokens
    counts = prepared_rows(family("base"), row, overlong="drop", training={"maxSequenceLength": length}).counts
    assert (counts.examples, counts.truncated) == (1, 0)


def test_the_same_again_from_what_an_earlier_start_left(
    make_config: Any, write_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, path = make_config({"validationFraction": 0.2}, packing=True), write_rows(*rows(30))
    first = prepare(config, family("base"), path)
    monkeypatch.setattr(sys.modules["finetune_trainer.data.prepare"], "Tokenising", None)
    again = prepare(config, family("base"), path)
    assert again.train.to_list() == first.train.to_list()
    assert again.validation is not None
    assert again.counts == first.counts
    assert again.digest == first.digest


def test_made_anew_it_is_the_same(make_config: Any, write_rows: Any, tmp_path: Path) -> None:
    path = write_rows(*rows(300))
    one, other = make_config({}, packing=True), make_config({}, packing=True)
    other = other.model_copy(update={"work_dir": str(tmp_path / "elsewhere")})
    assert prepare(one, family("base"), path).digest == prepare(other, family("base"), path).digest


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"maxSequenceLength": 5}},
        {"training": {"packing": True}},
        {"dataset": {"trainOn": "all"}},
        {"tokenizer": "base-bos"},
        {"file": True},
    ],
    ids=str,
)
def test_other_inputs_are_not_taken_for_the_same(change: Any, make_config: Any, write_rows: Any) -> None:
    path = write_rows(*rows(10))
    first = prepare(make_config(), family("base"), path)
    if "file" in change:
        write_rows(*rows(9))
        os.utime(path, ns=(0, 0))
    config = make_config(change.get("dataset"), **change.get("training", {}))
    again = prepare(config, family(change.get("tokenizer", "base")), path)
    assert again.train.to_list() != first.train.to_list()
    assert len(list((Path(config.work_dir) / "cache").glob("tokens-*"))) == 1  # the disk doesn't fill up


def test_validation_of_its_own(make_config: Any, write_rows: Any) -> None:
    config = make_config({"validation": {"uri": "file:///v"}}, packing=True)
    validation = write_rows(*rows(3), name="validation.jsonl")
    prepared = prepare(config, family("base"), write_rows(*rows(12)), validation)
    assert prepared.rows == 12
    assert prepared.validation_counts is not None
    assert prepared.validation_counts.examples == 3
    assert sum(len(row["seq_lengths"]) for row in prepared.validation) == 3


def test_turns_of_one_conversation_stay_on_one_side(prepared_rows: Any) -> None:
    roles = ("user", "assistant")
    talks = [
        {"messages": [{"role": roles[at % 2], "content": f"{talk} {at}"} for at in range(6)]} for talk in range(20)
    ]
    prepared = prepared_rows(family("qwen3"), *talks, validationFraction=0.3)
    tokenizer = family("qwen3")
    sides = [
        {tokenizer.decode(row["input_ids"]).split("\n")[1].split()[0] for row in side}
        for side in (prepared.train, prepared.validation)
    ]
    assert prepared.counts.examples == 60
    assert all(sides)
    assert not sides[0] & sides[1]


@pytest.mark.parametrize(
    ("content", "dataset", "sentence"),
    [
        ("", {}, "train.jsonl has no rows"),
        ("\n\n", {}, "train.jsonl has no rows"),
        (
            '{"text": ""}\n',
            {"emptyResponses": "drop"},
            "none of the 1 rows of train.jsonl can be trained on: 1 have no",
        ),
        ('{"text": "hello"}\n', {"validationFraction": 0.1}, "1 usable rows"),
    ],
)
def test_nothing_to_train_on(content: str, dataset: Any, sentence: str, make_config: Any, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(content)
    with pytest.raises(Failure, match=sentence) as caught:
        prepare(make_config(dataset), family("base"), path)
    assert caught.value.outcome == "BadData"


@pytest.mark.parametrize(
    ("asked", "model", "tokenizer", "longest"),
    [
        (None, None, None, 2048),
        (None, 1024, None, 1024),
        (None, 8192, 512, 512),
        (4096, 8192, 512, 4096),
        (64, None, 32, 64),
    ],
)
def test_length(
    asked: int | None, model: int | None, tokenizer: int | None, longest: int, make_config: Any, write_rows: Any
) -> None:
    made = family("base")
    if tokenizer is not None:
        made.model_max_length = tokenizer
    prepared = prepare(make_config({}, maxSequenceLength=asked), made, write_rows(*rows(2)), model_limit=model)
    assert prepared.max_length == longest


def test_longer_than_the_model(make_config: Any, write_rows: Any) -> None:
    with pytest.raises(Failure, match="4096 tokens, but the model has 2048 positions") as caught:
        prepare(make_config({}, maxSequenceLength=4096), family("base"), write_rows(*rows(2)), model_limit=2048)
    assert caught.value.outcome == "BadConfig"


def test_the_log_says_what_is_trained_on(prepared_rows: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        prepared = prepared_rows(family("base"), *rows(5), {"prompt": "a", "completion": ""}, emptyResponses="drop")
    assert f"{prepared.tokens:,} tokens, {prepared.trained_tokens:,} trained on" in caplog.text
    assert "1 rows without a response dropped" in caplog.text
