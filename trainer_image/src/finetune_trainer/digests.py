"""Folders whose content can be checked: a list of files with their sizes and SHA-256, and the check itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_THREADS = 4
"""Hashing releases the interpreter's lock; more threads outrun the disk."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file: its path within the folder, its size in bytes, and its SHA-256 in hex."""

    path: str
    size_bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "sizeBytes": self.size_bytes, "sha256": self.sha256}

    @staticmethod
    def from_json(content: dict[str, Any]) -> FileDigest:
        return FileDigest(path=content["path"], size_bytes=content["sizeBytes"], sha256=content["sha256"])


def digest_folder(folder: Path, *, leave_out: str) -> list[FileDigest]:
    """All files under `folder`, in order of their paths, but for the one called `leave_out`: the list itself."""
    paths = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda path: _digest(folder, path), [path for path in paths if path != leave_out]))


def first_difference(folder: Path, files: Iterable[FileDigest]) -> str | None:
    """What is wrong with `folder`, in a few words, or None if every file is there and as listed."""
    expected = list(files)
    for file in expected:
        path = folder / file.path
        if not path.is_file():
            return f"{file.path} is missing"
        if path.stat().st_size != file.size_bytes:
            return f"{file.path} has {path.stat().st_size} bytes, not {file.size_bytes}"
    with ThreadPoolExecutor(_THREADS) as pool:
        for file, found in zip(expected, pool.map(lambda file: _digest(folder, file.path), expected), strict=True):
            if found.sha256 != file.sha256:
                return f"{file.path} has another SHA-256 than listed"
    return None


def sync_folder(folder: Path) -> None:
    """Make every file and folder under `folder` survive a power cut. OSError where the disk is full."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def sync(path: Path) -> None:
    """fsync one file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(folder: Path, path: str) -> FileDigest:
    with (folder / path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileDigest(path=path, size_bytes=file.tell(), sha256=sha256)
