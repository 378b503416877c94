"""Kubernetes and its companions, built from the Go modules pinned in `modules/`.

Each folder there is a Go module whose go.mod names one version and whose go.sum holds the hashes of all that goes
into it. A binary lies in `bin/MODULE-KEY/`, where KEY is a hash of everything it was built from: a changed pin
builds beside the old one, an unchanged one is found again. Go's own caches are in the cache folder too, so
that what is built twice costs the time to link it.
"""

import functools
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from e2e.cluster import lock, shell
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import Layout

MODULES = Path(__file__).parent / "modules"
BUILD_FLAGS = ("-trimpath", "-buildvcs=false")
NEEDED_MIB = 6 * 1024  # sources, Go's build cache and the binaries of all modules


@dataclass(frozen=True, slots=True)
class Module:
    """A folder of `modules/`, and the package that each of its binaries is built from."""

    name: str
    binaries: Mapping[str, str]
    linker: Mapping[str, str] = field(default_factory=dict)


KUBE = "k8s.io/kubernetes/cmd"
VERSION = "k8s.io/component-base/version"
KUBERNETES_VERSION = "v1.34.4"

# In the order in which others wait for them: a control plane can start before the node's parts are built.
CONTROL_PLANE = (
    Module("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
    Module(
        "kubernetes",
        {name: f"{KUBE}/{name}" for name in ("kube-apiserver", "kubectl")},
        # Without these every component calls itself v0.0.0-master, and version checks of charts fail.
        {"gitVersion": KUBERNETES_VERSION, "gitMajor": "1", "gitMinor": "34"},
    ),
)
NODE = (
    Module(
        "kubernetes",
        {name: f"{KUBE}/{name}" for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")},
        CONTROL_PLANE[1].linker,
    ),
    Module("node", {"finetune-node": "."}),
    Module("registry", {"registry": "github.com/distribution/distribution/v3/cmd/registry"}),
    Module("localpath", {"local-path-provisioner": "github.com/rancher/local-path-provisioner"}),
    Module("coredns", {"coredns": "."}),
    Module("helm", {"helm": "helm.sh/helm/v3/cmd/helm"}),
)
ON_REQUEST = (Module("versitygw", {"versitygw": "github.com/versity/versitygw/cmd/versitygw"}),)
ALL = (*CONTROL_PLANE, *NODE, *ON_REQUEST)


def build(where: Layout, modules: Iterable[Module]) -> None:
    """Builds what is missing and links it into `bin/current`."""
    for module in modules:
        folder = where.bin / f"{module.name}-{_key(module)}"
        for binary, package in module.binaries.items():
            if not (folder / binary).exists():
                with lock.held(where.locks, f"build-{module.name}"):
                    _build_one(where, module, package, folder / binary)
            _link(folder / binary, where.path / binary, where)


def binary(where: Layout, name: str) -> Path:
    """The binary called `name`, built first if it is not there."""
    for module in ALL:
        if name in module.binaries:
            build(where, [Module(module.name, {name: module.binaries[name]}, module.linker)])
            return where.path / name
    raise ClusterError(f"{name} is not among the modules of {MODULES}")


def environment(where: Layout) -> dict[str, str]:
    return {
        "GOCACHE": str(where.cache / "go" / "build"),
        "GOMODCACHE": str(where.cache / "go" / "mod"),
        "CGO_ENABLED": "0",  # static: they run in images made from scratch, and need no C compiler
        "GOFLAGS": " ".join(BUILD_FLAGS),
        "GOWORK": "off",
    }


def _build_one(where: Layout, module: Module, package: str, target: Path) -> None:
    if target.exists():  # built while this one waited for the lock
        return
    if shutil.which("go") is None:
        raise ClusterError(f"could not build {target.name}: go is not on PATH; install Go 1.24 or newer")
    require_space(where.cache, NEEDED_MIB, why=f"build {target.name}")
    print(f"building {target.name} ...", flush=True)
    began = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    settings = "".join(f" -X {VERSION}.{name}={value}" for name, value in module.linker.items())
    shell.run(
        ["go", "build", "-ldflags", f"-s -w{settings}", "-o", new, package],
        why=f"build {target.name} from {MODULES / module.name}",
        cwd=MODULES / module.name,
        env=environment(where),
    )
    new.rename(target)
    print(f"built {target.name} in {time.monotonic() - began:.0f} s", flush=True)


def _link(target: Path, link: Path, where: Layout) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    with lock.held(where.locks, "link"):
        link.parent.mkdir(parents=True, exist_ok=True)
        new = link.with_name(f".{link.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        new.rename(link)


def require_space(folder: Path, mib: int, *, why: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free // 2**20
    if free < mib:
        raise ClusterError(
            f"could not {why}: {free} MiB are free on the disk of {folder}, {mib} MiB are needed; "
            "free some, or point FINETUNE_CACHE at a larger disk"
        )


def _key(module: Module) -> str:
    """A hash of what decides the bytes of the module's binaries."""
    digest = hashlib.sha256(repr((BUILD_FLAGS, sorted(module.linker.items()), _go_version())).encode())
    for source in sorted((MODULES / module.name).iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@functools.cache
def _go_version() -> str:
    if shutil.which("go") is None:
        raise ClusterError("go is not on PATH; install Go 1.24 or newer: Kubernetes is built from its sources here")
    # Asked where no go.mod can choose another toolchain, so that the key is the same for every module.
    return shell.run(
        ["go", "env", "GOVERSION", "GOOS", "GOARCH"], why="ask go for its version", cwd=Path(os.sep)
    ).strip()
