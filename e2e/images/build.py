"""Builds an image from its Dockerfile and pushes it; both take seconds when only our own code has changed."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import binaries, lock
from e2e.cluster.layout import Layout
from e2e.images import base
from e2e.images.storage import buildah, exists

TREE = Path(__file__).parents[2]
HOST_CERTIFICATES = Path("/etc/ssl/certs")
# The machine's own settings for pip and uv hold inside the build too.
PASSED_ON = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    dockerfile: str
    needed_mib: int  # free disk: layers, the copy in the registry, and the copy that the node unpacks


IMAGES = (
    Image("operator", "operator/Dockerfile", 2 * 1024),
    Image("trainer", "trainer_image/Dockerfile", 24 * 1024),
)


def build(where: Layout, image: Image) -> str:
    """Builds it; returns its name in buildah's storage."""
    name = f"localhost/finetune-{image.name}:dev"
    base_image = base.image(where)
    if not exists(where, name):
        binaries.require_space(where.cache, image.needed_mib, why=f"build the image {image.name}")
    print(f"building the image {image.name} ...", flush=True)
    began = time.monotonic()
    where.uv.mkdir(parents=True, exist_ok=True)
    arguments = [f"--build-arg={key}={os.environ[key]}" for key in PASSED_ON if key in os.environ]
    volumes = [f"--volume={where.uv}:/var/cache/uv"]
    if HOST_CERTIFICATES.is_dir():
        # What this machine trusts, for downloads during the build; a mount is never part of a layer.
        volumes.append(f"--volume={HOST_CERTIFICATES}:{HOST_CERTIFICATES}:ro")
    buildah(
        where,
        "build",
        "--layers",
        "--network=host",
        "--isolation=chroot",
        *volumes,
        f"--build-arg=BASE_IMAGE={base_image}",
        *arguments,
        f"--file={TREE / image.dockerfile}",
        f"--tag={name}",
        str(TREE),
        why=f"build the image {image.name} from {image.dockerfile}",
    )
    print(f"built the image {image.name} in {time.monotonic() - began:.0f} s", flush=True)
    return name


def push(where: Layout, image: Image, name: str, registry: str) -> str:
    """Pushes it; returns the reference by digest."""
    began = time.monotonic()
    target = f"{registry}/{image.name}"
    digest_file = where.buildah / "tmp" / f"{image.name}.digest"
    # Plain HTTP only to this machine itself; elsewhere TLS is required, with docker's or podman's logins.
    here = registry.split("/")[0].split(":")[0] in ("localhost", "127.0.0.1")
    buildah(
        where,
        "push",
        f"--tls-verify={'false' if here else 'true'}",
        "--format=oci",
        "--compression-format=zstd",
        "--compression-level=1",
        f"--digestfile={digest_file}",
        name,
        f"docker://{target}:dev",
        why=f"push the image {image.name} to {target}",
    )
    reference = f"{target}@{digest_file.read_text().strip()}"
    print(f"pushed {reference} in {time.monotonic() - began:.0f} s", flush=True)
    return reference


def record(where: Layout, references: dict[str, str]) -> Path:
    """Adds the references to run/images.json, where tests and the demo look for them."""
    path = where.run / "images.json"
    where.run.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    new = path.with_suffix(".new")
    new.write_text(json.dumps({**known, **references}, indent=1, sort_keys=True) + "\n")
    new.rename(path)
    return path


def build_and_push(where: Layout, images: tuple[Image, ...], registry: str) -> dict[str, str]:
    with lock.held(where.locks, "images"):
        # Working containers of a build that failed or was killed: they hold mounts, and no other build runs now.
        buildah(where, "rm", "--all", why="forget the working containers of former builds")
        references = {image.name: push(where, image, build(where, image), registry) for image in images}
        record(where, references)
        # What the new images have replaced; the layers that they share with it stay.
        buildah(where, "rmi", "--prune", why="remove replaced images")
    return references
