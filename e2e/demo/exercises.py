"""Chats that a base model has seen: copy, first word, yes or no. On prose alone it never learns to look back.

None of them is the demo's task. They teach what a chat is and that the answer is found in the question.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

Chat = list[dict[str, str]]


def chat(rng: random.Random, words: Sequence[str]) -> Chat:
    """One exercise over words of the corpus."""
    exercise = rng.choice((_copy, _first_word, _yes_or_no))
    question, answer = exercise(rng, words)
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _copy(rng: random.Random, words: Sequence[str]) -> tuple[str, str]:
    text = " ".join(rng.choices(words, k=rng.randint(2, 8)))
    return f"Repeat: {text}", text


def _first_word(rng: random.Random, words: Sequence[str]) -> tuple[str, str]:
    chosen = rng.choices(words, k=rng.randint(3, 10))
    return f"What is the first word? {' '.join(chosen)}", chosen[0]


def _yes_or_no(rng: random.Random, words: Sequence[str]) -> tuple[str, str]:
    chosen = rng.choices(words, k=rng.randint(3, 10))
    asked = rng.choice(chosen) if rng.random() < 0.5 else rng.choice(words)
    return f"Is {asked} in this list? {' '.join(chosen)}", "yes" if asked in chosen else "no"
