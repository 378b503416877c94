"""The folder of a run: whose it is, that only one process uses it, and which attempts were made in it."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune_api.contract import EXIT_CODES, RESULT_FILE, Outcome, Result
from finetune_api.job import FineTuneJob
from finetune_api.names import OUTPUT_DIR
from finetune_api.spec import MUTABLE
from finetune_api.status import Attempt
from finetune_operator.local.run_error import RunError

# What says nothing of the run itself may change between two starts: waiting, cleaning up, and how often to try.
_FREE = frozenset(
    {*MUTABLE, "resources", "podTemplate", "image", "storage", "retry", "activeDeadlineSeconds", "checkpoint"}
)


@dataclass(frozen=True, slots=True)
class WorkDir:
    """Paths under it that this side of the contract reads or writes, and the lock that is held on it."""

    root: Path
    lock: int
    """File descriptor. The trainer inherits it: should this process die, the folder is free only when it has ended."""

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def termination_log(self) -> Path:
        return self.root / "termination-log"

    @property
    def log(self) -> Path:
        return self.root / "trainer.log"

    @property
    def port(self) -> Path:
        return self.root / "port"

    @property
    def output(self) -> Path:
        return self.root / OUTPUT_DIR

    @property
    def _job(self) -> Path:
        return self.root / "job.json"

    @property
    def _attempts(self) -> Path:
        return self.root / "attempts.json"

    def claim(self, job: FineTuneJob) -> FineTuneJob:
        """Make the folder this job's; returns the job with the UID that it has here.

        Raises:
            RunError: another job began here, or the folder holds something else.
        """
        here = _identity(job)
        if not self._job.exists():
            self._refuse_strangers()
            uid = str(uuid.uuid4())
            _write(self._job, {"uid": uid, **here})
        else:
            there = json.loads(self._job.read_text(encoding="utf-8"))
            uid = there.pop("uid")
            changed = sorted(_flat(there).items() ^ _flat(here).items())
            if changed:
                raise RunError(
                    EXIT_CODES[Outcome.BAD_CONFIG],
                    f"{self.root} holds the run of another job: {changed[0][0]} differs; "
                    "name another folder with --work, or delete this one to train anew",
                )
        return job.model_copy(update={"metadata": job.metadata.model_copy(update={"uid": uid})})

    def attempts(self) -> list[Attempt]:
        """Those made here so far, oldest first."""
        if not self._attempts.exists():
            return []
        return [Attempt.model_validate(each) for each in json.loads(self._attempts.read_text(encoding="utf-8"))]

    def remember(self, attempt: Attempt) -> None:
        """Add one to them."""
        _write(self._attempts, [each.to_json() for each in (*self.attempts(), attempt)])

    def result(self) -> Result | None:
        """The result of a run that has succeeded here, or None."""
        if not self.output.is_dir():
            return None
        result = read_result(self.root / RESULT_FILE)
        return result if result is not None and result.outcome is Outcome.SUCCEEDED else None

    def _refuse_strangers(self) -> None:
        strangers = sorted(path.name for path in self.root.iterdir() if path.name != _LOCK)
        if strangers:
            raise RunError(
                EXIT_CODES[Outcome.BAD_CONFIG],
                f"{self.root} is not empty and holds no run (there is {strangers[0]}); name an empty or a new folder",
            )


_LOCK = "lock"


@contextmanager
def opened(root: Path) -> Iterator[WorkDir]:
    """The folder, made if it isn't there, and locked.

    Raises:
        RunError: it can't be written, or another run has it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RunError(
            EXIT_CODES[Outcome.BAD_CONFIG], f"{root} cannot be used as work folder: {error.strerror}"
        ) from None
    try:
        _hold(lock, root)
        yield WorkDir(root, lock)
    finally:
        os.close(lock)


def _hold(lock: int, root: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(lock, 32, 0).decode("ascii", errors="replace").strip() or "unknown"
        raise RunError(
            EXIT_CODES[Outcome.TRANSIENT],
            f"{root} is in use by another run (process {owner}, or its trainer); wait for it, or name another folder",
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def read_result(path: Path) -> Result | None:
    """What a trainer left; None where it left nothing that can be read."""
    try:
        return Result.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _identity(job: FineTuneJob) -> dict[str, Any]:
    spec = {field: value for field, value in job.spec.to_json().items() if field not in _FREE}
    return {"name": job.metadata.name, "spec": spec}


def _flat(content: Any, prefix: str = "") -> dict[str, str]:
    """Field path -> value as JSON."""
    if not isinstance(content, dict):
        return {prefix: json.dumps(content, sort_keys=True)}
    flat: dict[str, str] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return flat


def _write(path: Path, content: Any) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1), encoding="utf-8")
    new.replace(path)
