"""The base image: a minimal Debian with Python, made by debootstrap from the mirror that this machine's apt uses.

No registry of images is needed for it. Where there is no Debian mirror (on Ubuntu), FINETUNE_BASE_IMAGE names an
image to use instead.
"""

import hashlib
import os
import shutil
import time
from pathlib import Path

from e2e.cluster import shell
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import Layout
from e2e.images.storage import buildah, exists

SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
# No one reads them in a container, and they are a third of its size. What apt has fetched goes as well.
UNWANTED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "var/cache/apt",
)
EMPTIED = ("var/lib/apt/lists", "var/log")


def image(where: Layout) -> str:
    """The name of the base image in buildah's storage, made first if it is not there."""
    named = os.environ.get("FINETUNE_BASE_IMAGE")
    if named:
        return named
    key = hashlib.sha256(repr((SUITE, PACKAGES, UNWANTED, EMPTIED)).encode()).hexdigest()[:12]
    name = f"localhost/finetune-base:{key}"
    if not exists(where, name):
        _commit(where, _root(where, key), name)
    return name


def _root(where: Layout, key: str) -> Path:
    """The root file system as a tar, kept so that losing buildah's storage costs seconds."""
    archive = where.images / f"base-{key}.tar"
    if archive.exists():
        return archive
    mirror = _mirror()
    print(f"making a base image from {SUITE} (about a minute) ...", flush=True)
    began = time.monotonic()
    folder = where.images / f"base-{key}.new"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    shell.run(
        ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, folder, mirror],
        why=f"make a base image in {folder}",
    )
    for name in UNWANTED:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in EMPTIED:
        for path in (folder / name).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    # This machine's names and resolver are nothing for an image.
    for name in ("etc/resolv.conf", "etc/hostname"):
        (folder / name).unlink(missing_ok=True)
    new = archive.with_suffix(".tar.new")
    shell.run(["tar", "-C", folder, "--sort=name", "--exclude=./dev/*", "-cf", new, "."], why="pack the base image")
    new.rename(archive)
    shutil.rmtree(folder)
    print(f"made the base image in {time.monotonic() - began:.0f} s", flush=True)
    return archive


def _mirror() -> str:
    """The Debian mirror that this machine's apt is set to."""
    targets = ["apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    for line in shell.run(targets, why="read apt's sources").splitlines():
        codename, component, uri = line.split(maxsplit=2)
        if codename == SUITE and component == "main":
            return uri
    raise ClusterError(
        f"this machine's apt has no Debian {SUITE} to make a base image from; "
        "set FINETUNE_BASE_IMAGE to a Debian-like image with Python 3.11 or newer"
    )


def _commit(where: Layout, archive: Path, name: str) -> None:
    container = buildah(where, "from", "scratch", why="begin the base image").strip()
    try:
        buildah(where, "add", "--quiet", container, str(archive), "/", why="fill the base image")
        buildah(where, "commit", "--quiet", container, name, why="keep the base image")
    finally:
        buildah(where, "rm", container, why="forget the working container")
