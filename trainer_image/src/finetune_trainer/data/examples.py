"""From a source's rows to tokens: one pass, a block of rows at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from finetune_api.contract import DatasetConfig, Outcome
from finetune_trainer.data import split, workers
from finetune_trainer.data.encode import Encoder, Tokens
from finetune_trainer.data.example import Chat, Example
from finetune_trainer.data.formats import Format, choose
from finetune_trainer.data.formats.shape import Wanted
from finetune_trainer.data.length import fit
from finetune_trainer.data.readers import read
from finetune_trainer.data.report import Counts
from finetune_trainer.data.row import EmptyResponseError, Row, listed
from finetune_trainer.data.store import TokenStore
from finetune_trainer.data.template import ChatTemplate, Draft, TemplateRefusedError
from finetune_trainer.failure import Failure

log = logging.getLogger(__name__)

# Enough for the tokenizer to share among its threads, little enough to hold.
_BLOCK_ROWS = 1024
_LOG_ROWS = 100_000


class Overlong(NamedTuple):
    """An example that was dropped for its length, in tokens, and on which side of the split it would have stood."""

    length: int
    key: int


@dataclass(slots=True)
class Made:
    """What a block of rows has become."""

    tokens: list[Tokens] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    """One per example: on which side of the split it stands."""
    lengths: list[int] = field(default_factory=list)
    """One per example: its tokens before it was cut."""
    overlong: list[Overlong] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


class Tokenising:
    """Turns rows into examples in a store, all by the same rules."""

    def __init__(self, config: DatasetConfig, tokenizer: PreTrainedTokenizerBase, *, longest: int, seed: int) -> None:
        self._config = config
        self._longest = longest
        self._seed = seed
        self._encoder = Encoder(tokenizer)
        self._wanted = Wanted(chat=bool(tokenizer.chat_template), train_on=config.train_on)
        self._template = ChatTemplate(tokenizer, config.train_on) if self._wanted.chat else None

    def run(self, source: Path, store: TokenStore, *, processes: int) -> Counts:
        """Read all of `source` into `store`. Raises BAD_DATA at the first row that can't be used, or if none can."""
        counts = Counts()
        for made in self.blocks(self.rows(source), processes=processes):
            for tokens, key in zip(made.tokens, made.keys, strict=True):
                store.add(tokens, key)
            before, counts = counts, counts + made.counts
            if counts.rows // _LOG_ROWS != before.rows // _LOG_ROWS:
                log.info("%s: %s rows read", source.name, f"{counts.rows:,}")
        must_have_examples(source, counts)
        return counts

    def blocks(self, rows: Iterator[tuple[Row, Format]], *, processes: int) -> Iterator[Made]:
        """Examples of `rows`, a block at a time and in their order. Raises BAD_DATA."""
        blocks = iter(lambda: list(islice(rows, _BLOCK_ROWS)), [])
        return workers.in_order(self._block, blocks, processes=processes)

    def rows(self, source: Path) -> Iterator[tuple[Row, Format]]:
        """All rows, read and found to be of one format. Raises BAD_DATA."""
        format_: Format | None = None
        first: Row | None = None
        for raw in read(source):
            row = raw.renamed(self._config.columns)
            if format_ is None or first is None:
                self._check_columns(raw)
                first, format_ = row, choose(self._config.format, row)
                log.info("%s: format %s", source.name, format_.name)
            elif not format_.fits(row):
                lacks = listed(column for column in format_.columns if column not in row.fields)
                raise row.refusal(
                    "MixedFormats",
                    f"has no {lacks} (it has {listed(row.fields)}), but {first} is {format_.name}; "
                    "all rows must have one format",
                )
            yield row, format_

    def check(self, row: Row, format_: Format) -> None:
        """Raise BAD_DATA if the row can't become an example, without making it into tokens."""
        try:
            format_.convert(row, self._wanted)
        except EmptyResponseError as empty:
            self._empty(row, str(empty), Counts())

    def _check_columns(self, first: Row) -> None:
        for ours, theirs in self._config.columns.items():
            if theirs not in first.fields:
                raise first.refusal(
                    "ColumnMissing",
                    f'dataset.columns says that {ours} is called "{theirs}", but the row has {listed(first.fields)}',
                )

    def _block(self, block: list[tuple[Row, Format]]) -> Made:
        made = Made()
        counts = made.counts
        drafts: list[Draft] = []
        origins: list[tuple[Row, int]] = []
        for row, format_ in block:
            counts.rows += 1
            try:
                example = format_.convert(row, self._wanted)
            except EmptyResponseError as empty:
                self._empty(row, str(empty), counts)
                continue
            written = self._write(row, example)
            counts.unrolled += len(written) > 1
            drafts += written
            # All drafts of a conversation have its key: else validation would hold turns that were trained on.
            origins += [(row, split.key(repr(example), self._seed))] * len(written)
        for tokens, (row, key) in zip(self._encoder.encode(drafts) if drafts else [], origins, strict=True):
            if not tokens.trained.any():
                self._empty(row, "has no token to train on", counts)
                continue
            fitting = fit(tokens, self._longest, self._config.overlong)
            if fitting is None:
                counts.overlong += 1
                made.overlong.append(Overlong(len(tokens.ids), key))
                continue
            counts.truncated += len(fitting.ids) < len(tokens.ids)
            counts.examples += 1
            counts.tokens += len(fitting.ids)
            counts.trained_tokens += int(fitting.trained.sum())
            made.tokens.append(fitting)
            made.keys.append(key)
            made.lengths.append(len(tokens.ids))
        return made

    def _write(self, row: Row, example: Example) -> list[Draft]:
        if not isinstance(example, Chat):
            return [Draft(example.text, example.trained, bos=True, eos=True)]
        assert self._template is not None  # noqa: S101  formats make chats only where there is a template
        try:
            return self._template.drafts(example)
        except TemplateRefusedError as refused:
            raise row.refusal("TemplateRefused", str(refused)) from None

    def _empty(self, row: Row, what: str, counts: Counts) -> None:
        if self._config.empty_responses == "fail":
            raise row.refusal(
                "EmptyResponse", f"{what}; give it a response or set dataset.quality.emptyResponses: drop"
            )
        counts.empty += 1


def must_have_examples(source: Path, counts: Counts) -> None:
    """Raise BAD_DATA where nothing of `source` can be trained on."""
    if not counts.rows:
        raise Failure(Outcome.BAD_DATA, "NoRows", f"{source.name} has no rows; give it some")
    if not counts.examples:
        raise Failure(
            Outcome.BAD_DATA,
            "NoUsableRows",
            f"none of the {counts.rows:,} rows of {source.name} can be trained on: {counts.empty:,} have no response, "
            f"{counts.overlong:,} are over training.maxSequenceLength",
        )
