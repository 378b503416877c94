"""What is known of a job's model and data outside of a cluster: from files, the catalogue, or the command line."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

from finetune_api.job import FineTuneJob
from finetune_operator.children.source import File, SourceError, parse
from finetune_operator.sizing.choice.shown import parameters
from finetune_operator.sizing.facts import DataFacts, ModelFacts
from finetune_operator.sizing.known import model_facts
from finetune_operator.sizing.models.catalogue import lookup
from finetune_operator.sizing.models.config_json import read
from finetune_operator.sizing.models.keys import ModelError
from finetune_operator.sizing.speed import tokens_from_bytes


class InputError(ValueError):
    """What the user says, or has, of the data makes no sense; the text says what to do."""


_ROWS_READ = 64 * 2**20
"""Bytes of a file whose lines are counted; a longer one's are told from these."""


def model(job: FineTuneJob, *, config: Path | None, folder: Path) -> ModelFacts:
    """The model's shape. `config`: what the user names; `folder`: what relative file:// paths start from.

    Raises:
        ModelError: nobody knows it, or it makes no sense.
    """
    if config is not None:
        return ModelFacts(read(config), "config.json")
    source = _source(job.spec.model.source)
    if isinstance(source, File) and job.spec.model.architecture is None:
        try:
            return ModelFacts(read(folder / source.path), "config.json")
        except ModelError as error:
            raise ModelError(f"spec.model.source: {error}") from None
    return model_facts(job.spec.model, config=None)


def other_shape(job: FineTuneJob, found: ModelFacts) -> str | None:
    """That the configuration which the user names is not that of the job's model, as far as the catalogue knows it."""
    known = lookup(job.spec.model.source)
    if known is None or known.parameters == found.architecture.parameters:
        return None
    read_as, expected = parameters(found.architecture.parameters), parameters(known.parameters)
    return f"has {read_as} parameters, and {job.spec.model.source} has {expected}; the plan is for the former"


def data(job: FineTuneJob, *, rows: int | None, tokens: int | None, folder: Path) -> DataFacts:
    """The training rows: as the user says, else told from the size of a file:// source, else not known.

    Raises:
        InputError: there are fewer tokens than rows, or the file is not there.
    """
    if rows is not None and tokens is not None and tokens < rows:
        raise InputError(f"--tokens {tokens} is less than one for each of --rows {rows}; correct one of them")
    source = _source(job.spec.dataset.train.source)
    found = DataFacts()
    if isinstance(source, File):
        found = _of_files(folder / source.path, needed=rows is None and tokens is None)
    if tokens is not None:
        found = replace(found, tokens=tokens, estimated=False)
        if rows is None and found.rows is None:
            # the number of rows matters little beside that of tokens, and is what instruction data has
            rows = max(1, tokens // TOKENS_PER_ROW)
    if rows is not None:
        found = replace(found, rows=rows)
        if tokens is None and found.tokens is None:
            found = replace(found, tokens=rows * TOKENS_PER_ROW, estimated=True)
    return _with_validation(job, found)


TOKENS_PER_ROW = 500
"""Where only the one or the other is known: instruction data has 100 to 1,000."""


def _with_validation(job: FineTuneJob, found: DataFacts) -> DataFacts:
    held_out = job.spec.dataset.validation
    if held_out is None or held_out.fraction is None or found.rows is None or found.tokens is None:
        return found
    share = held_out.fraction
    return replace(
        found,
        rows=max(1, round(found.rows * (1 - share))),
        tokens=max(1, round(found.tokens * (1 - share))),
        validation_rows=round(found.rows * share),
        validation_tokens=round(found.tokens * share),
    )


def _source(uri: str) -> object:
    try:
        return parse(uri)
    except SourceError:
        return None


def _of_files(path: Path, *, needed: bool) -> DataFacts:
    try:
        return _counted(path)
    except OSError as error:
        if not needed:
            return DataFacts()
        cause = f"{path} cannot be read: {error.strerror}"
        raise InputError(
            f"spec.dataset.train.source: {cause}; correct it, or say with --rows and --tokens how much there is"
        ) from None


def _counted(path: Path) -> DataFacts:
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    text = [each for each in files if each.suffix in (".jsonl", ".json", ".csv") and each.is_file()]
    size = sum(each.stat().st_size for each in text)
    if not size:
        return DataFacts()
    return tokens_from_bytes(size, rows=_rows(text, size))


def _rows(files: list[Path], size: int) -> int | None:
    """Lines of JSONL and CSV; a JSON list's are not known before it is read."""
    if any(each.suffix == ".json" for each in files):
        return None
    lines = seen = 0
    for each in files:
        with each.open("rb") as stream:
            while seen < _ROWS_READ and (block := stream.read(2**20)):
                lines += block.count(b"\n")
                seen += len(block)
    return max(1, round(lines * size / seen)) if seen else None
