"""Drafts to tokens: ids, and for each whether the loss counts it.

A draft is made into tokens as one text, as it is at inference, and characters are mapped to tokens afterwards. Token
for token that equals `apply_chat_template(tokenize=True)`; pieces made into tokens one by one don't (SentencePiece
puts a space before each).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from finetune_api.contract import Outcome
from finetune_trainer.data.template import Draft
from finetune_trainer.failure import Failure

Ids = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tokens:
    """One example. Both arrays have its length in tokens; `trained[0]` is always false, as nothing predicts it."""

    ids: Ids
    trained: Mask


class Encoder:
    """Raises BAD_CONFIG for a tokenizer that can't say which characters a token stands for."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.is_fast:
            raise Failure(
                Outcome.BAD_CONFIG,
                "SlowTokenizer",
                f"the model's tokenizer ({type(tokenizer).__name__}) can't map tokens to characters, which masking "
                "prompts needs; add a tokenizer.json to the model",
            )
        self._tokenizer = tokenizer
        self._eos: int | None = tokenizer.eos_token_id
        # Asked of the tokenizer itself: many have a bos_token that they never put before a text.
        begun = tokenizer("a")["input_ids"]
        self._bos: int | None = tokenizer.bos_token_id if begun and begun[0] == tokenizer.bos_token_id else None

    def encode(self, drafts: Sequence[Draft]) -> list[Tokens]:
        """One example per draft, in their order."""
        encoded = self._tokenizer(
            [draft.text for draft in drafts],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return [
            self._tokens(draft, ids, offsets)
            for draft, ids, offsets in zip(drafts, encoded["input_ids"], encoded["offset_mapping"], strict=True)
        ]

    def _tokens(self, draft: Draft, ids: list[int], offsets: list[tuple[int, int]]) -> Tokens:
        # A token belongs where its last character does: one that begins in the prompt and ends in the response is
        # said by the model. Ends never decrease, tokens of no width (trimmed spaces) included.
        last = np.fromiter((end for _, end in offsets), dtype=np.int64, count=len(offsets)) - 1
        trained = np.zeros(len(ids), dtype=np.bool_)
        for start, end in draft.trained:
            trained |= (last >= start) & (last < end)
        tokens = np.asarray(ids, dtype=np.int32)
        if draft.bos and self._bos is not None and (not ids or ids[0] != self._bos):
            tokens, trained = np.insert(tokens, 0, self._bos), np.insert(trained, 0, False)
        if draft.eos and self._eos is not None and (not ids or ids[-1] != self._eos):
            tokens, trained = np.append(tokens, np.int32(self._eos)), np.append(trained, True)
        trained[:1] = False
        return Tokens(tokens, trained)
