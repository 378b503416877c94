"""The Hugging Face Hub: which commit a branch is at, which files it has, and those files on disk.

A download that was broken off goes on where it stopped; one that is complete needs no Hub at all.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx2
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from finetune_api.contract import Outcome
from finetune_trainer.failure import Failure
from finetune_trainer.rundir import read_json, write_json

_COMMIT = re.compile(r"[0-9a-f]{40}")
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the Hub, and what to call it in messages."""

    kind: Literal["model", "dataset"]
    id: str
    """ORGANISATION/NAME."""
    revision: str
    """Branch, tag or commit."""
    token: str | None
    field: str
    """Where the job's spec names it: spec.model or spec.dataset.train."""

    @property
    def uri(self) -> str:
        return f"hf://{self.id}"

    @property
    def page(self) -> str:
        return f"https://huggingface.co/{'datasets/' if self.kind == 'dataset' else ''}{self.id}"

    @property
    def commit_asked(self) -> bool:
        return bool(_COMMIT.fullmatch(self.revision))


def commit_of(repository: Repository) -> str:
    """The commit (40 hexadecimal digits) that the revision stands for now. A commit is taken at its word."""
    if repository.commit_asked:
        return repository.revision
    with explained(repository):
        info = _api(repository).repo_info(repository.id, repo_type=repository.kind, revision=repository.revision)
    if info.sha is None:
        raise Failure(Outcome.UNAVAILABLE, "HubUnavailable", f"{repository.uri}: the Hub gave no commit; try again")
    return info.sha


def files_of(repository: Repository, commit: str) -> dict[str, int]:
    """Name to size in bytes of all files of `commit`."""
    with explained(repository):
        tree = _api(repository).list_repo_tree(
            repository.id, recursive=True, revision=commit, repo_type=repository.kind
        )
        return {entry.path: entry.size for entry in tree if isinstance(entry, RepoFile)}


def download(
    repository: Repository,
    commit: str,
    cache: Path,
    *,
    wanted: Callable[[Mapping[str, int]], list[str]],
    purpose: str,
) -> tuple[Path, list[str]]:
    """(folder, names) of the files of `commit` that `wanted` chooses from all (name to size).

    What has been chosen and downloaded once for `purpose` is found again without asking the Hub.
    """
    record = cache / "fetched" / f"{repository.kind}--{repository.id.replace('/', '--')}--{commit}--{purpose}.json"
    known = read_json(record)
    if known and all((Path(known["folder"]) / name).exists() for name in known["names"]):
        return Path(known["folder"]), known["names"]
    sizes = files_of(repository, commit)
    names = wanted(sizes)
    if not names:
        return cache, []
    _check_space(repository, sum(sizes[name] for name in names), cache)
    with explained(repository):
        folder = snapshot_download(
            repository.id,
            repo_type=repository.kind,
            revision=commit,
            cache_dir=cache / "hub",
            allow_patterns=[re.sub(r"([*?[])", r"[\1]", name) for name in names],
            token=repository.token,
            endpoint=_endpoint(),
        )
    record.parent.mkdir(parents=True, exist_ok=True)
    write_json(record, {"folder": folder, "names": names})
    return Path(folder), names


@contextmanager
def explained(repository: Repository) -> Iterator[None]:
    """Turn what the Hub's client raises into a Failure with its outcome and a sentence."""
    try:
        yield
    except (HfHubHTTPError, LocalEntryNotFoundError, EntryNotFoundError, HFValidationError, httpx2.HTTPError) as error:
        raise _failure(repository, error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Failure(
                Outcome.BAD_CONFIG,
                "DiskFull",
                f"{repository.uri}: no space left while downloading; give spec.storage.size more",
            ) from error
        raise


def _failure(repository: Repository, error: Exception) -> Failure:
    """By the first thing in the chain of causes that says something: the client wraps what the Hub answered."""
    cause: BaseException | None = error
    while isinstance(cause, LocalEntryNotFoundError) and cause.__cause__ is not None:
        cause = cause.__cause__
    what = f"{repository.uri} ({repository.field})"
    given = "the token may not" if repository.token else "no token was given that may"
    secret = f"{repository.field}.tokenSecretRef"
    status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
    match cause:
        case GatedRepoError():
            sentence = f"{what} is gated and {given} read it; request access at {repository.page} and name a token of"
            return Failure(Outcome.PERMISSION, "GatedRepository", f"{sentence} that account in {secret}")
        case RevisionNotFoundError():
            sentence = f'{what} has no revision "{repository.revision}"; branches, tags and commits are listed at'
            return Failure(Outcome.NOT_FOUND, "RevisionNotFound", f"{sentence} {repository.page}/commits")
        case RepositoryNotFoundError() if status != 401:
            sentence = f"the Hub has no {repository.kind} {repository.id} ({repository.field})"
            private = (
                "or the token may not see it" if repository.token else f"or if it is private name a token in {secret}"
            )
            return Failure(Outcome.NOT_FOUND, "RepositoryNotFound", f"{sentence}; check the name, {private}")
        case HFValidationError():
            return Failure(
                Outcome.BAD_CONFIG,
                "BadRepositoryName",
                f"{what} is not ORGANISATION/NAME; check {repository.field}.source",
            )
    match status:
        case 401 if repository.token is None:
            sentence = (
                f"{what} does not exist, or is private and no token was given; check the name, or name a token in"
            )
            return Failure(Outcome.PERMISSION, "NotFoundOrPrivate", f"{sentence} {secret}")
        case 401 | 403:
            sentence = (
                f"{what}: the Hub refuses the token (HTTP {status}); check that the Secret in {secret} holds a valid"
            )
            return Failure(Outcome.PERMISSION, "TokenRefused", f"{sentence} one with read access to {repository.page}")
        case 404:
            return Failure(Outcome.NOT_FOUND, "FileNotFound", f"{what}: the Hub lacks a file that it lists; try again")
        case 429:
            return Failure(
                Outcome.TRANSIENT,
                "RateLimited",
                f"{what}: too many requests to the Hub (HTTP 429); it is tried again later",
            )
        case int() if status >= 500:
            return Failure(
                Outcome.UNAVAILABLE, "HubUnavailable", f"{what}: the Hub fails (HTTP {status}); it is tried again later"
            )
        case int():
            return Failure(Outcome.UNAVAILABLE, "HubError", f"{what}: the Hub answers HTTP {status}: {error}")
    reached = _endpoint() or "https://huggingface.co"
    return Failure(
        Outcome.UNAVAILABLE,
        "HubUnreachable",
        f"{what}: {reached} does not answer ({type(cause).__name__}); check the network and HF_ENDPOINT",
    )


def _check_space(repository: Repository, needed: int, cache: Path) -> None:
    hub = cache / "hub"
    hub.mkdir(parents=True, exist_ok=True)
    mine = hub / f"{repository.kind}s--{repository.id.replace('/', '--')}" / "blobs"
    have = sum(blob.stat().st_size for blob in mine.iterdir()) if mine.is_dir() else 0
    free = shutil.disk_usage(hub).free
    if needed - have > free:
        raise Failure(
            Outcome.BAD_CONFIG,
            "DiskFull",
            f"{repository.uri} is {needed / _GIB:.1f} GiB to download and {free / _GIB:.1f} GiB are free; "
            f"give spec.storage.size at least {(needed - have - free) / _GIB:.1f} GiB more",
        )


def _api(repository: Repository) -> HfApi:
    return HfApi(endpoint=_endpoint(), token=repository.token)


def _endpoint() -> str | None:
    # the client reads it once, when it is imported
    return os.environ.get("HF_ENDPOINT")
