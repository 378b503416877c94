"""What is trained on, read back as text, for each family of chat templates."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_trainer.failure import Failure
from tests.finetune_trainer.data.tokenizers_made import family


def chat(*contents: str, system: str | None = None) -> dict[str, Any]:
    """A row of turns, the user's first."""
    messages = [{"role": "system", "content": system}] if system else []
    roles = ("user", "assistant")
    return {"messages": messages + [{"role": roles[at % 2], "content": text} for at, text in enumerate(contents)]}


def trained(tokenizer: Any, row: dict[str, Any]) -> list[str]:
    """Each run of trained tokens, as text."""
    runs: list[list[int]] = []
    before = -100
    for label, token in zip(row["labels"], row["input_ids"], strict=True):
        if label != -100:
            assert label == token
            runs = runs if before != -100 else [*runs, []]
            runs[-1].append(token)
        before = label
    return [tokenizer.decode(run) for run in runs]


TWO = chat("hello", "this is", "what a", "test")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chatml", ["this is<|im_end|>", "test<|im_end|>"]),
        ("marked", ["this is<|im_end|>", "test<|im_end|>"]),
        ("llama3", ["this is<|eot_id|>", "test<|eot_id|>"]),
        ("gemma", ["this is<end_of_turn>", "test<end_of_turn>"]),
        ("phi3", ["this is<|end|>", "test<|end|>\n<|endoftext|>"]),
        ("r1", ["this is<|eos|>", "test<|eos|>"]),
        ("mistral", ["this is</s>", "test</s>"]),
        ("mistral-v3", ["this is</s>", "test</s>"]),
        # no token ends a turn: the line break does, and the tokenizer's end the conversation
        ("vicuna-bare", ["this is\n", "test\n</s>"]),
    ],
)
def test_every_response_and_its_end(name: str, expected: list[str], prepared_rows: Any) -> None:
    tokenizer = family(name)
    prepared = prepared_rows(tokenizer, TWO)
    assert [text.strip(" ") for text in trained(tokenizer, prepared.train[0])] == expected


@pytest.mark.parametrize(
    "name", ["chatml", "marked", "llama3", "gemma", "phi3", "r1", "mistral", "mistral-v3", "qwen3"]
)
@pytest.mark.parametrize("train_on", ["responses", "lastResponse", "all"])
@pytest.mark.parametrize(
    "row", [chat("hello", "this is"), chat("<b>", "<think>x"), chat("a\n\n", "\n\nb ")], ids=["plain", "tags", "space"]
)
def test_tokens_are_those_of_the_chat_template(name: str, train_on: str, row: Any, prepared_rows: Any) -> None:
    """Never a second BOS, never a token more or less than at inference."""
    tokenizer = family(name)
    prepared = prepared_rows(tokenizer, row, trainOn=train_on)
    expected = tokenizer.apply_chat_template(row["messages"], tokenize=True)["input_ids"]
    assert prepared.train[0]["input_ids"] == expected
    if train_on == "all":
        assert prepared.train[0]["labels"][1:] == expected[1:]


@pytest.mark.parametrize("name", ["chatml", "marked", "llama3", "gemma", "mistral", "mistral-v3", "qwen3"])
def test_last_response(name: str, prepared_rows: Any) -> None:
    tokenizer = family(name)
    prepared = prepared_rows(tokenizer, TWO, trainOn="lastResponse")
    (text,) = trained(tokenizer, prepared.train[0])
    assert "test" in text
    assert "this is" not in text


def test_thinking_template_makes_one_example_per_response(prepared_rows: Any) -> None:
    """The first thought is dropped as soon as there is a second question: each response is trained as it was said."""
    tokenizer = family("qwen3")
    prepared = prepared_rows(tokenizer, chat("hello", "<think>\nhm\n</think>\n\nthis", "what", "test"))
    assert prepared.counts.unrolled == 1
    assert [trained(tokenizer, row) for row in prepared.train] == [
        ["<think>\nhm\n</think>\n\nthis<|im_end|>"],
        ["<think>\n\n</think>\n\ntest<|im_end|>"],
    ]
    assert "hm" not in tokenizer.decode(prepared.train[1]["input_ids"])


def test_system_prompt_in_the_last_question_is_unrolled(prepared_rows: Any) -> None:
    tokenizer = family("mistral-v3")
    prepared = prepared_rows(tokenizer, chat("hello", "this", "what", "test", system="is"))
    assert [tokenizer.decode(row["input_ids"]).count("is\n\n") for row in prepared.train] == [1, 1]
    assert [text.strip() for row in prepared.train for text in trained(tokenizer, row)] == ["this</s>", "test</s>"]


def test_response_that_begins_like_the_generation_prompt(prepared_rows: Any) -> None:
    """R1's generation prompt goes on with <think>; the < of a response is still the response's."""
    tokenizer = family("r1")
    prepared = prepared_rows(tokenizer, chat("hello", "<b>this"))
    assert trained(tokenizer, prepared.train[0]) == ["<b>this<|eos|>"]


@pytest.mark.parametrize("name", ["chatml", "llama3"])
def test_many_byte_characters(name: str, prepared_rows: Any) -> None:
    tokenizer = family(name)
    prepared = prepared_rows(tokenizer, chat("日本 é", "né 日本 🙂", "🙂", "ß"))
    ends = "<|im_end|>" if name == "chatml" else "<|eot_id|>"
    assert trained(tokenizer, prepared.train[0]) == [f"né 日本 🙂{ends}", f"ß{ends}"]


def test_turns_after_the_last_response_are_left_out(prepared_rows: Any) -> None:
    tokenizer = family("chatml")
    prepared = prepared_rows(tokenizer, chat("hello", "this", "nobody answers"))
    assert "nobody" not in tokenizer.decode(prepared.train[0]["input_ids"])


@pytest.mark.parametrize(
    ("name", "row", "sentence"),
    [
        ("gemma", chat("hello", "this", system="be nice"), "System role not supported"),
        ("mistral", chat("hello", "this", system="be nice"), "must alternate"),
        ("chatml", {"messages": [{"role": "assistant", "content": "hi"}]}, "begins with the user"),
        ("base", chat("hello", "this"), "no chat template"),
    ],
)
def test_refused(name: str, row: Any, sentence: str, prepared_rows: Any) -> None:
    with pytest.raises(Failure, match=sentence) as caught:
        prepared_rows(family(name), row)
    assert caught.value.outcome == "BadData"
    assert caught.value.message.startswith("row 1 of train.jsonl (line 1): ")


def test_a_date_in_the_template_stands_still(prepared_rows: Any) -> None:
    """Else a resume on the next day would train on other tokens."""
    tokenizer = family("chatml")
    tokenizer.chat_template = "{% if strftime_now is defined %}{{ strftime_now('%Y-%m-%d') }}{% endif %}\n" + (
        tokenizer.chat_template or ""
    )
    prepared = prepared_rows(tokenizer, chat("hello", "this"))
    assert tokenizer.decode(prepared.train[0]["input_ids"]).startswith("2024-07-26<")
