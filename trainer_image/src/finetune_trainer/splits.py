"""Which files of a data set make up a split, told from their names and the data set's card."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import datasets
from datasets.exceptions import DataFilesNotFoundError

from finetune_api.contract import Outcome
from finetune_trainer.data.readers import KINDS
from finetune_trainer.data.row import listed
from finetune_trainer.failure import Failure

CARD = "README.md"


def split_files(names: Iterable[str], card: str, *, subset: str | None, split: str, what: str) -> list[str]:
    """Names of the files that hold `split` of `subset`, among `names`. `what` names the data set in messages.

    `datasets` knows the rules (the card's data_files, else names and folders). It is shown a folder of empty files,
    so that nothing has to be downloaded to find out what has to be. Raises NOT_FOUND, BAD_DATA or BAD_CONFIG.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve() / "data"
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        (folder / CARD).write_text(card, encoding="utf-8")
        by_split = _by_split(folder, subset, Path(scratch), what)
    if split not in by_split:
        raise Failure(
            Outcome.NOT_FOUND, "SplitNotFound", f'{what} has no split "{split}"; it has {listed(by_split)}; set split'
        )
    found = by_split[split]
    unread = {Path(name).suffix for name in found} - set(KINDS)
    if unread:
        raise Failure(
            Outcome.BAD_DATA,
            "NoDataFiles",
            f'{what}: split "{split}" is in files that end in {listed(unread)}; JSONL, JSON, CSV and Parquet are read',
        )
    return found


def _by_split(folder: Path, subset: str | None, cache: Path, what: str) -> dict[str, list[str]]:
    try:
        builder = datasets.load_dataset_builder(str(folder), name=subset, cache_dir=str(cache / "cache"))
    except DataFilesNotFoundError:
        raise Failure(
            Outcome.BAD_DATA, "NoDataFiles", f"{what} has no data files; JSONL, JSON, CSV and Parquet are read"
        ) from None
    except ValueError as error:  # an unknown subset, or none named where there are several: the error lists them
        sentence = str(error).splitlines()[0]
        raise Failure(Outcome.BAD_CONFIG, "SubsetNotFound", f"{what}: subset: {sentence}") from None
    return {
        str(split): [Path(file).relative_to(folder).as_posix() for file in files]
        for split, files in (builder.config.data_files or {}).items()
    }
