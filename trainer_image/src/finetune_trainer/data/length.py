"""How long an example may be, and what becomes of one that is longer."""

from __future__ import annotations

from typing import Literal

from transformers import PreTrainedTokenizerBase

from finetune_api.contract import Outcome
from finetune_trainer.data.encode import Tokens
from finetune_trainer.failure import Failure

DEFAULT_TOKENS = 2048
# Tokenizers of models that set no limit carry 10^30.
_NO_LIMIT = 1 << 31


def limit(asked: int | None, tokenizer: PreTrainedTokenizerBase, model_limit: int | None) -> int:
    """Longest example in tokens. `model_limit`: positions that the model has, None if it doesn't say.

    Raises BAD_CONFIG if more is asked for than the model has.
    """
    if asked is None:
        told = tokenizer.model_max_length
        limits = [DEFAULT_TOKENS, model_limit, told if told < _NO_LIMIT else None]
        return int(min(each for each in limits if each is not None))
    if model_limit is not None and asked > model_limit:
        raise Failure(
            Outcome.BAD_CONFIG,
            "SequenceTooLong",
            f"training.maxSequenceLength: {asked} tokens, but the model has {model_limit} positions; ask for no more",
        )
    return asked


def fit(tokens: Tokens, longest: int, overlong: Literal["truncate", "drop"]) -> Tokens | None:
    """`tokens` within `longest`, cut at the end; None if it is dropped, as one is that would lose all its response."""
    if len(tokens.ids) <= longest:
        return tokens
    if overlong == "drop" or not tokens.trained[:longest].any():
        return None
    return Tokens(tokens.ids[:longest], tokens.trained[:longest])
