"""Base model and tuned model side by side on held-out rows: `python -m e2e.demo.compare --help`.

It loads the result as anyone would, with transformers and peft alone, and is one file, so that it also runs where
the project is not installed: `python compare.py` in any environment that has the two.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SHOWN = 3  # generations printed side by side
LONGEST_ANSWER = 16  # tokens
Chat = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Score:
    """Of one model on all rows, each a share from 0 to 1."""

    exact_match: float
    """Greedy answers that are the label and nothing else."""
    label_likelihood: float
    """Rows whose own label is the likeliest of all labels: what a model knows but may not say. Chance: 1 / labels."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row, and what the two models made of it."""

    question: str
    label: str
    base: str
    tuned: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both models on the same rows."""

    rows: int
    base: Score
    tuned: Score
    examples: list[Example]


def compare(*, base: Path, tuned: Path, rows: Path) -> Comparison:
    """Measure both models on a JSONL file of chats. `tuned` is a folder with an adapter or with a whole model.

    Raises:
        OSError: a folder or file is not there, or is no model.
        ValueError: the file has no rows.
    """
    import torch
    from transformers import AutoTokenizer, set_seed

    set_seed(0)
    chats = [json.loads(line)["messages"] for line in rows.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not chats:
        raise ValueError(f"{rows}: has no rows; make them with `python -m e2e.demo.make_data`")
    labels = sorted({chat[-1]["content"] for chat in chats})
    tokenizer = AutoTokenizer.from_pretrained(base)
    model, plain = _load(base, tuned)
    with torch.inference_mode():
        after = _answers(model, tokenizer, chats), _likeliest(model, tokenizer, chats, labels)
        with plain() as original:
            before = _answers(original, tokenizer, chats), _likeliest(original, tokenizer, chats, labels)
    truth = [chat[-1]["content"] for chat in chats]
    examples = [
        Example(question=chat[-2]["content"], label=label, base=old, tuned=new)
        for chat, label, old, new in zip(chats[:SHOWN], truth, before[0], after[0], strict=False)
    ]
    return Comparison(len(chats), _score(*before, truth), _score(*after, truth), examples)


def _load(base: Path, tuned: Path) -> tuple[Any, Any]:
    """The tuned model, and how to get at the base model: its adapter off, or loaded beside it."""
    import transformers

    loader: Any = transformers.AutoModelForCausalLM
    if (tuned / "adapter_config.json").exists():
        from peft import PeftModel

        model = PeftModel.from_pretrained(loader.from_pretrained(base), tuned).eval()

        @contextmanager
        def plain() -> Iterator[Any]:
            with model.disable_adapter():
                yield model

        return model, plain
    whole = loader.from_pretrained(tuned).eval()
    return whole, lambda: nullcontext(loader.from_pretrained(base).eval())


def _score(answers: Sequence[str], likeliest: Sequence[str], truth: Sequence[str]) -> Score:
    def share(given: Sequence[str]) -> float:
        return sum(a == b for a, b in zip(given, truth, strict=True)) / len(truth)

    return Score(exact_match=share(answers), label_likelihood=share(likeliest))


def _prompt(tokenizer: Any, chat: Chat) -> str:
    text: str = tokenizer.apply_chat_template(chat[:-1], tokenize=False, add_generation_prompt=True)
    return text


def _answers(model: Any, tokenizer: Any, chats: Sequence[Chat]) -> list[str]:
    """What the model says to each question, greedily."""
    texts = []
    for chat in chats:
        ids = tokenizer(_prompt(tokenizer, chat), return_tensors="pt", add_special_tokens=False)["input_ids"]
        whole = model.generate(
            input_ids=ids,
            attention_mask=ids.new_ones(ids.shape),
            max_new_tokens=LONGEST_ANSWER,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        texts.append(tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True).strip())
    return texts


def _likeliest(model: Any, tokenizer: Any, chats: Sequence[Chat], labels: Sequence[str]) -> list[str]:
    """The label that the model would rather say than the others, by the mean log-likelihood of its tokens."""
    import torch

    chosen = []
    for chat in chats:
        prompt = tokenizer(_prompt(tokenizer, chat), add_special_tokens=False)["input_ids"]
        scores = []
        for label in labels:
            answer = tokenizer(label, add_special_tokens=False)["input_ids"]
            logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
            scores.append(logits.float().log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).mean().item())
        chosen.append(labels[scores.index(max(scores))])
    return chosen


def as_text(shown: Comparison) -> str:
    """A table, and a few answers side by side."""
    lines = [
        f"{shown.rows} held-out rows      base   tuned",
        f"exact match          {shown.base.exact_match:6.2f}  {shown.tuned.exact_match:6.2f}",
        f"likeliest label      {shown.base.label_likelihood:6.2f}  {shown.tuned.label_likelihood:6.2f}",
    ]
    for example in shown.examples:
        lines += ["", f"  {example.question}", f"    base:  {example.base}", f"    tuned: {example.tuned}"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.demo.compare", description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True, metavar="DIR", help="the base model")
    parser.add_argument("--adapter", type=Path, required=True, metavar="DIR", help="the result: an adapter or a model")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="JSONL of chats that were not trained on"
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        shown = compare(base=options.base, tuned=options.adapter, rows=options.data)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(shown)) if options.output == "json" else as_text(shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
