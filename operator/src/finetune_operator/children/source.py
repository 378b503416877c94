"""Where models and data come from: a URI of spec, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A DNS subdomain: the API server would refuse the pod of any other.
_CLAIM = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")


class SourceError(ValueError):
    """A URI that means nothing; the text says what it should look like."""


@dataclass(frozen=True, slots=True)
class Hub:
    """hf://ORGANISATION/NAME, a repository of the Hugging Face Hub."""

    repository: str


@dataclass(frozen=True, slots=True)
class Claim:
    """pvc://CLAIM/PATH; `path` is relative and may be empty: the whole volume."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class File:
    """file://PATH, on the machine of `finetune run`."""

    path: str


@dataclass(frozen=True, slots=True)
class Remote:
    """s3:// and oci://."""

    scheme: str


Source = Hub | Claim | File | Remote


def parse(uri: str) -> Source:
    """Take a source URI apart.

    Raises:
        SourceError: the scheme is unknown, or what follows it is not what the scheme wants.
    """
    scheme, _, rest = uri.partition("://")
    match scheme:
        case "hf":
            if not _REPOSITORY.fullmatch(rest):
                raise SourceError(f"{uri} must be hf://ORGANISATION/NAME; a revision has its own field")
            return Hub(rest)
        case "pvc":
            name, _, path = rest.partition("/")
            if not _CLAIM.fullmatch(name):
                raise SourceError(f"{uri} must be pvc://CLAIM/PATH with the name of a PersistentVolumeClaim")
            parts = [part for part in path.split("/") if part not in ("", ".")]
            if ".." in parts:
                raise SourceError(f"{uri} must not lead out of the volume: remove the ..")
            return Claim(name, "/".join(parts))
        case "file":
            return File(rest)
        case "s3" | "oci":
            return Remote(scheme)
    raise SourceError(f"{uri} must begin with hf:// or pvc://")
