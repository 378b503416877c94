"""Which files a source consists of, and which reader each one gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from finetune_api.contract import Outcome
from finetune_trainer.data.readers.csv_rows import csv_file
from finetune_trainer.data.readers.json_rows import json_file, json_lines
from finetune_trainer.data.readers.parquet_rows import parquet_file
from finetune_trainer.data.row import Row, listed
from finetune_trainer.failure import Failure

KINDS: Mapping[str, Callable[[Path, str], Iterator[Row]]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_file,
    ".csv": csv_file,
    ".parquet": parquet_file,
}
# What `datasets` writes beside data; no rows are in them.
_METADATA = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})


def data_files(source: Path) -> list[tuple[Path, str]]:
    """(file, its name in messages) of the file or folder `source`, sorted by name.

    Raises NOT_FOUND where there is nothing, BAD_DATA where there is nothing that can be read.
    """
    if not source.exists():
        raise Failure(Outcome.NOT_FOUND, "DataNotFound", f"no data at {source}; {beside(source)}")
    if source.is_file():
        if source.suffix.lower() not in KINDS:
            raise _unreadable(f"{source.name} is no data file")
        return [(source, source.name)]
    files = [path for path in source.rglob("*") if path.is_file() and not _hidden(path.relative_to(source))]
    data = [path for path in files if path.suffix.lower() in KINDS and path.name not in _METADATA]
    if not data:
        names = (path.relative_to(source).as_posix() for path in files)
        raise _unreadable(f"no data file in the folder {source} (it has {listed(names) if files else 'no files'})")
    return sorted(((path, path.relative_to(source).as_posix()) for path in data), key=lambda pair: pair[1])


def read(source: Path) -> Iterator[Row]:
    """All rows of the file or folder `source`. Raises BAD_DATA at the first thing that can't be read."""
    for path, name in data_files(source):
        yield from KINDS[path.suffix.lower()](path, name)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def beside(source: Path) -> str:
    """What is there instead of `source`: the nearest folder above it and its content."""
    folder = next((parent for parent in source.parents if parent.is_dir()), None)
    if folder is None:
        return "nothing is mounted there"
    names = [child.name for child in folder.iterdir()]
    return f"{folder} has {listed(names) if names else 'no files'}"


def _unreadable(what: str) -> Failure:
    return Failure(
        Outcome.BAD_DATA, "NoDataFiles", f"{what}; JSONL, JSON, CSV and Parquet are read, told by the file's ending"
    )
