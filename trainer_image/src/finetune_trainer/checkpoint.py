"""Checkpoints that are complete or absent.

A checkpoint is written under a temporary name, then its manifest (sizes and SHA-256 of all files), then it is
renamed: whatever kills the process, a folder with the final name and a matching manifest is whole. Older ones are
deleted only after that. Resume takes the newest whole one, and refuses one made with other settings.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_api.contract import Outcome, TrainerConfig
from finetune_trainer.digests import FileDigest, digest_folder, first_difference, sync, sync_folder
from finetune_trainer.failure import Failure

MANIFEST = "checkpoint-manifest.json"
_NAME = re.compile(r"^step-(\d+)$")
_TEMPORARY = ".incomplete-"

log = logging.getLogger(__name__)

Fingerprint = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint."""

    path: Path
    step: int
    fingerprint: Fingerprint


def fingerprint(config: TrainerConfig, *, data: str, per_step: int) -> Fingerprint:
    """What must not differ between a checkpoint and the run that goes on from it.

    The micro-batch, activation checkpointing and the kernels are left out: they change how a step is computed, not
    what it is, and are what a retry after running out of memory changes. So is whether whole copies are one or
    several; what is sharded is written in another form. `data` is the digest of the training rows in their order.
    """
    free = {"micro_batch_size", "gradient_checkpointing", "attention", "loss_kernel", "sharding"}
    return {
        "method": config.method,
        "model": config.model.source.uri,
        "dataset": config.dataset.train.uri,
        "adapter": None if config.adapter is None else config.adapter.to_json(),
        "training": config.training.model_dump(mode="json", by_alias=True, exclude=free),
        "sharded": True if config.training.sharding == "fsdp" else None,
        "trainingData": data,
        "sequencesPerStep": per_step,
    }


@contextmanager
def writing(folder: Path, step: int, *, made_with: Fingerprint, keep: int) -> Iterator[Path]:
    """A folder to write the checkpoint of `step` into; when the block ends it becomes a checkpoint, or nothing.

    Of the older ones `keep` - 1 are left. OSError (ENOSPC above all) passes through with the older ones untouched.
    """
    unfinished = temporary(folder, step)
    final = folder / f"step-{step}"
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        yield unfinished
        files = [file.to_json() for file in digest_folder(unfinished, leave_out=MANIFEST)]
        manifest = {"step": step, "madeWith": made_with, "files": files}
        (unfinished / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        sync_folder(unfinished)
    except BaseException:
        # gives the space back at once: on a full disk the next attempt needs it
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if final.exists():
        # resumed from an older one because this one was damaged
        shutil.rmtree(final)
    unfinished.rename(final)
    sync(folder)
    for old in _steps(folder)[keep:]:
        shutil.rmtree(folder / f"step-{old}")


def temporary(folder: Path, step: int) -> Path:
    """Where the checkpoint of `step` is written before it is whole."""
    return folder / f"{_TEMPORARY}{step}"


def newest(folder: Path, *, made_with: Fingerprint) -> Checkpoint | None:
    """The newest whole checkpoint, or None. Raises BAD_CONFIG if it was made with other settings than `made_with`."""
    for step in _steps(folder):
        path = folder / f"step-{step}"
        found = _read(path, step)
        if found is None:
            continue
        _refuse_other(found, made_with)
        return found
    return None


def newest_step(folder: Path) -> int | None:
    """Step of the newest checkpoint by name, without checking it: for messages."""
    steps = _steps(folder)
    return steps[0] if steps else None


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(path)


def _steps(folder: Path) -> list[int]:
    """Newest first."""
    if not folder.is_dir():
        return []
    matches = (_NAME.match(path.name) for path in folder.iterdir())
    return sorted((int(match.group(1)) for match in matches if match), reverse=True)


def _read(path: Path, step: int) -> Checkpoint | None:
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        files = [FileDigest.from_json(file) for file in manifest["files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the checkpoint %s is passed over: its manifest can't be read (%s)", path.name, error)
        return None
    wrong = first_difference(path, files)
    if wrong is not None:
        log.warning("the checkpoint %s is passed over: %s", path.name, wrong)
        return None
    return Checkpoint(path=path, step=step, fingerprint=manifest["madeWith"])


def _refuse_other(found: Checkpoint, made_with: Fingerprint) -> None:
    there, here = _flat(found.fingerprint), _flat(json.loads(json.dumps(made_with)))
    differing = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    if differing:
        first = differing[0]
        raise Failure(
            Outcome.BAD_CONFIG,
            "CheckpointMismatch",
            f"the checkpoint of step {found.step} in the work directory was made with {first} = {there.get(first)!r}, "
            f"and this run has {here.get(first)!r}: going on would mix two runs; use a new job, or the old setting",
        )


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
