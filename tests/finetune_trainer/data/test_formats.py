"""Rows of each format, how the format is told, and what is said about rows that haven't it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from finetune_trainer.failure import Failure
from tests.finetune_trainer.data.test_masking import trained
from tests.finetune_trainer.data.tokenizers_made import family

ALPACA = {"instruction": "hello", "input": "world", "output": "test"}
MESSAGES = {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "test"}]}
PROMPT = {"prompt": "hello ", "completion": "test"}
PREFACE = "Below is an instruction that describes a task"


@pytest.mark.parametrize(
    ("name", "row", "text", "learnt"),
    [
        (
            "chatml",
            MESSAGES,
            "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\ntest<|im_end|>\n",
            "test<|im_end|>",
        ),
        (
            "chatml",
            ALPACA,
            "<|im_start|>user\nhello\n\nworld<|im_end|>\n<|im_start|>assistant\ntest<|im_end|>\n",
            "test<|im_end|>",
        ),
        (
            "chatml",
            {"instruction": "hello", "output": "test", "system": "be"},
            "<|im_start|>system\nbe<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\ntest<|im_end|>\n",
            "test<|im_end|>",
        ),
        (
            "base-bos",
            ALPACA,
            f"<s>{PREFACE}, paired with an input that provides further context. Write a response that appropriately "
            "completes the request.\n\n### Instruction:\nhello\n\n### Input:\nworld\n\n### Response:\ntest</s>",
            "test</s>",
        ),
        (
            "base",
            {"instruction": "{input} {output}", "input": None, "output": "test"},
            f"{PREFACE}. Write a response that appropriately completes the request.\n\n"
            "### Instruction:\n{input} {output}\n\n### Response:\ntest<|endoftext|>",
            "test<|endoftext|>",
        ),
        # a token that begins in the prompt and ends in the response is learnt: the model has to say it
        ("base-bos", PROMPT, "<s>hello test</s>", " test</s>"),
        (
            "chatml",
            PROMPT,
            "<|im_start|>user\nhello <|im_end|>\n<|im_start|>assistant\ntest<|im_end|>\n",
            "test<|im_end|>",
        ),
        (
            "chatml",
            {"prompt": MESSAGES["messages"][:1], "completion": MESSAGES["messages"][1:]},
            "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\ntest<|im_end|>\n",
            "test<|im_end|>",
        ),
        ("base-bos", {"text": "hello test"}, "<s>hello test</s>", "hello test</s>"),
        ("base-bos", {"text": "<s>hello test</s>"}, "<s>hello test</s>", "hello test</s>"),  # begun and ended already
        ("base", {"text": "### Response:\ntest"}, "### Response:\ntest<|endoftext|>", "test<|endoftext|>"),
        ("base", {"text": "a ### Response: test"}, "a ### Response: test<|endoftext|>", " test<|endoftext|>"),
        (
            "chatml",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]},
                    {"role": "assistant", "content": "test", "name": None},  # as Parquet gives it
                ]
            },
            "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\ntest<|im_end|>\n",
            "test<|im_end|>",
        ),
    ],
)
def test_as_text(name: str, row: Any, text: str, learnt: str, prepared_rows: Any) -> None:
    tokenizer = family(name)
    (made,) = prepared_rows(tokenizer, row).train
    assert tokenizer.decode(made["input_ids"]) == text
    assert trained(tokenizer, made) == [learnt]


@pytest.mark.parametrize("row", [ALPACA, PROMPT], ids=["alpaca", "prompt"])
def test_all_of_plain_text(row: Any, prepared_rows: Any) -> None:
    (made,) = prepared_rows(family("base"), row, trainOn="all").train
    assert made["labels"] == [-100, *made["input_ids"][1:]]


def test_tools_and_calls_reach_the_template(prepared_rows: Any) -> None:
    tokenizer = family("chatml")
    tokenizer.chat_template = (
        "{% if tools %}{{ tools[0].function.name }}|{% endif %}{% for m in messages %}{{ m.role }}:"
        "{% if m.tool_calls %}{{ m.tool_calls[0].function.name }}{% endif %}{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    call = {"type": "function", "function": {"name": "find", "arguments": {"q": "x"}}}
    turns = [
        {"role": "user", "content": "where"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "there"},
        {"role": "assistant", "content": "it is there"},
    ]
    tool = {"type": "function", "function": {"name": "find", "parameters": {}}}
    (made,) = prepared_rows(tokenizer, {"messages": turns, "tools": [tool]}).train
    assert tokenizer.decode(made["input_ids"]).startswith("find|user:where")
    assert trained(tokenizer, made) == ["find<|im_end|>", "it is there<|im_end|>"]


def test_columns_are_renamed(prepared_rows: Any) -> None:
    tokenizer = family("chatml")
    row = {"question": "hello", "answer": "test", "instruction": "not this"}
    (made,) = prepared_rows(tokenizer, row, columns={"instruction": "question", "output": "answer"}).train
    assert "not this" not in tokenizer.decode(made["input_ids"])
    assert trained(tokenizer, made) == ["test<|im_end|>"]


EMPTY = [
    {"instruction": "hello", "output": " \n"},
    {"instruction": "hello", "output": None},
    {"messages": []},
    {"messages": [{"role": "user", "content": "hello"}]},
    {"messages": [*MESSAGES["messages"], {"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]},
    {"prompt": "hello", "completion": ""},
    {"prompt": "hello", "completion": None},
    {"text": " "},
    {"text": "a\n### Response:\n"},
]
FULL = {"instruction": ALPACA, "messages": MESSAGES, "prompt": PROMPT, "text": {"text": "hello"}}


@pytest.mark.parametrize("row", EMPTY, ids=str)
def test_empty_responses(row: Any, prepared_rows: Any) -> None:
    full = FULL[next(iter(row))]
    with pytest.raises(Failure, match=r"row 2 of train.jsonl \(line 2\): .*emptyResponses: drop") as caught:
        prepared_rows(family("chatml"), full, row)
    assert caught.value.reason == "EmptyResponse"
    prepared = prepared_rows(family("chatml"), full, row, full, emptyResponses="drop")
    assert (len(prepared.train), prepared.counts.empty, prepared.counts.rows) == (2, 1, 3)


def message(**changes: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hello"} | changes, MESSAGES["messages"][1]]}


@pytest.mark.parametrize(
    ("rows", "dataset", "sentence"),
    [
        ([ALPACA, MESSAGES], {}, 'row 2 of train.jsonl (line 2): has no "instruction", "output" (it has "messages")'),
        ([{"a": 1, "b": 2}], {}, 'has "a", "b", which is no known format (messages: messages; alpaca: instruction'),
        ([{}], {}, "has no columns, which is no known format"),
        ([ALPACA], {"format": "messages"}, 'has no "messages", which the format messages needs'),
        ([ALPACA], {"columns": {"output": "answer"}}, 'says that output is called "answer", but the row has "input"'),
        ([{"conversations": []}], {}, "looks like ShareGPT"),
        ([{"chosen": [], "rejected": []}], {}, "holds preferences"),
        ([{"prompt": "a", "chosen": "b", "rejected": "c"}], {}, "holds preferences"),
        ([ALPACA | {"output": 3}], {}, '"output" is a number (3), not text'),
        ([ALPACA | {"output": math.nan}], {}, '"output" is NaN, not text'),
        ([ALPACA | {"output": 10**4000}], {}, '"output" is a huge number, not text'),
        ([ALPACA | {"instruction": None}], {}, '"instruction" is null, not text'),
        ([ALPACA | {"input": ["x"]}], {}, '"input" is a list, not text'),
        ([{"messages": "hello"}], {}, '"messages" is text, not a list of turns'),
        ([{"messages": ["hello"]}], {}, "message 1 is text, not an object"),
        ([message(role="wizard")], {}, 'message 1 has the role "wizard"; roles are system, user, assistant, tool'),
        ([{"messages": [{"from": "human", "value": "x"}]}], {}, 'message 1 has no "role"; it has "from" and "value"'),
        ([message(content=3)], {}, 'message 1: "content" is a number (3), not text'),
        ([message(content=[{"type": "image", "url": "x"}])], {}, "message 1, part 1 is image; only text"),
        ([MESSAGES | {"tools": "{"}], {}, '"tools" is no JSON'),
    ],
)
def test_bad_rows(rows: Any, dataset: Any, sentence: str, prepared_rows: Any) -> None:
    with pytest.raises(Failure) as caught:
        prepared_rows(family("chatml"), *rows, **dataset)
    assert caught.value.outcome == "BadData"
    assert caught.value.message.startswith("row ")
    assert sentence in caught.value.message


@pytest.mark.parametrize("format_", ["sharegpt", "preference"])
def test_formats_that_are_not_read(format_: str, prepared_rows: Any) -> None:
    with pytest.raises(Failure, match=f"dataset.format: {format_} is not read") as caught:
        prepared_rows(family("chatml"), MESSAGES, format=format_)
    assert caught.value.outcome == "BadConfig"


def test_half_a_surrogate_pair(tmp_path: Any, make_config: Any) -> None:
    from finetune_trainer.data import prepare

    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "ok"}\n{"text": "ab\\ud83d"}\n')
    with pytest.raises(Failure, match=r"row 2 of train.jsonl .*half of a surrogate pair \(\\ud83d\) at character 2"):
        prepare(make_config(), family("base"), path)
