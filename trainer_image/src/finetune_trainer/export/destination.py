"""A folder elsewhere (a mounted claim) as a destination: file by file, the manifest last.

The folder may be a mount point, which can't be renamed into place; so a copy counts from the moment that its
manifest is there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from finetune_api.contract import DestinationConfig, JobIdentity, Outcome
from finetune_trainer.digests import sync, sync_folder
from finetune_trainer.export import artifact
from finetune_trainer.export.artifact import MANIFEST, Manifest
from finetune_trainer.failure import Failure

# What a fresh file system or a storage driver puts into an empty volume.
_NOT_CONTENT = {"lost+found", ".snapshot"}


def check(place: DestinationConfig, *, job: JobIdentity) -> None:
    """Raises BAD_CONFIG unless `place` is empty, or holds an earlier export of the same job, and can be written."""
    folder = Path(place.path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted({path.name for path in folder.iterdir()} - _NOT_CONTENT)
        owner = artifact.uid_of(folder)
    except OSError as error:
        raise _refused(place, f"can't be written: {error.strerror}") from error
    except ValueError as error:
        raise _refused(place, f"holds something else: {error}") from error
    if owner is not None and owner != job.uid:
        raise _refused(place, f"holds the result of another job (UID {owner})")
    # a copy that was broken off has files of ours but no manifest yet; it left its mark
    if owner is None and found and not (folder / _mark(job)).exists():
        raise _refused(place, f"is not empty: it holds {', '.join(found[:3])}{' ...' if len(found) > 3 else ''}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refused(place, "can't be written: no permission")


def copy(source: Path, manifest: Manifest, place: DestinationConfig) -> None:
    """Make `place` hold what `source` holds, and check it by reading it back."""
    folder = Path(place.path)
    check(place, job=manifest.job)
    mark = folder / _mark(manifest.job)
    mark.touch()
    (folder / MANIFEST).unlink(missing_ok=True)
    wanted = {file.path for file in manifest.files}
    for path in wanted:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target)
    for old in folder.rglob("*"):
        if old.is_file() and str(old.relative_to(folder)) not in wanted | {mark.name}:
            old.unlink()
    sync_folder(folder)
    shutil.copyfile(source / MANIFEST, folder / MANIFEST)
    sync(folder / MANIFEST)
    artifact.verify(folder, manifest)
    mark.unlink()
    sync(folder)


def _mark(job: JobIdentity) -> str:
    return f".finetune-copying-{job.uid}"


def _refused(place: DestinationConfig, why: str) -> Failure:
    return Failure(
        Outcome.BAD_CONFIG, "DestinationRefused", f"output destination {place.uri} {why}; name an empty folder"
    )
