"""The result as a folder: weights in safetensors, tokenizer, chat template, model card, and a manifest of digests.

It is written under a temporary name, checked by reading it back, and renamed. The manifest is canonical JSON and
holds nothing that depends on the clock, so the same run has the same digest, which is the manifest's own SHA-256:
`sha256sum finetune-manifest.json` shows it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from finetune_api.contract import JobIdentity, Outcome
from finetune_trainer.digests import FileDigest, digest_folder, first_difference, sync, sync_folder
from finetune_trainer.failure import Failure

MANIFEST = "finetune-manifest.json"
_VERSION = 1

Kind = Literal["adapter", "model"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artifact holds, and whose it is."""

    job: JobIdentity
    kind: Kind
    files: tuple[FileDigest, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def digest(self) -> str:
        """sha256: of the manifest as it is written."""
        return f"sha256:{hashlib.sha256(self.to_bytes()).hexdigest()}"

    def to_bytes(self) -> bytes:
        """Canonical: keys sorted, no spaces. The attempt is left out, so that a second export is the same one."""
        job = {"namespace": self.job.namespace, "name": self.job.name, "uid": self.job.uid}
        files = [file.to_json() for file in self.files]
        content = {"version": _VERSION, "job": job, "kind": self.kind, "files": files}
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def uid_of(folder: Path) -> str | None:
    """UID of the job whose artifact lies in `folder`; None where there is none. ValueError for another manifest."""
    try:
        content: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return str(content["job"]["uid"])
    except FileNotFoundError:
        return None
    except (KeyError, TypeError) as error:
        raise ValueError(f"{MANIFEST} is not what was expected") from error


def complete(folder: Path, *, job: JobIdentity, kind: Kind) -> Manifest:
    """Write the manifest of all files in `folder`, last of all, and make everything survive a power cut."""
    manifest = Manifest(job=job, kind=kind, files=tuple(digest_folder(folder, leave_out=MANIFEST)))
    sync_folder(folder)
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    sync(folder / MANIFEST)
    sync(folder)
    return manifest


def publish(temporary: Path, final: Path) -> None:
    """Give the finished folder its name, in place of an earlier export's."""
    if final.exists():
        shutil.rmtree(final)
    temporary.rename(final)
    sync(final.parent)


def verify(folder: Path, manifest: Manifest) -> None:
    """Read everything back. Raises TRANSIENT if a file isn't what was written: storage that can't be trusted."""
    wrong = first_difference(folder, manifest.files)
    if wrong is None and (folder / MANIFEST).read_bytes() != manifest.to_bytes():
        wrong = f"{MANIFEST} has other content than was written"
    weights = [file.path for file in manifest.files if file.path.endswith(".safetensors")]
    if wrong is None and not weights:
        wrong = "it holds no weights"
    for path in weights if wrong is None else ():
        try:
            with safe_open(folder / path, framework="numpy") as tensors:
                if not tensors.keys():
                    wrong = f"{path} holds no tensors"
        except SafetensorError as error:
            wrong = f"{path} is no safetensors file: {error}"
    if wrong is not None:
        raise Failure(
            Outcome.TRANSIENT,
            "ExportNotVerified",
            f"the export in {folder} failed its check: {wrong}; it will be redone",
        )
