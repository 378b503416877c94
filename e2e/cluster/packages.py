"""What the node takes from the distribution: installed by apt-get where missing."""

import os
import shutil
from pathlib import Path

from e2e.cluster import shell
from e2e.cluster.failure import ClusterError

CNI_PLUGINS = Path("/usr/lib/cni")

# The program that is looked for, and the package that has it on Debian and Ubuntu.
NODE_PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "socat": "socat",
    "conntrack": "conntrack",
    "nsenter": "util-linux",
    "mount": "mount",
    "openssl": "openssl",
    str(CNI_PLUGINS / "bridge"): "containernetworking-plugins",
}
IMAGE_PROGRAMS = {"buildah": "buildah", "debootstrap": "debootstrap"}


def require_root(why: str, *, instead: str = "run it with sudo") -> None:
    if os.geteuid() != 0:
        raise ClusterError(f"could not {why}: this needs root (mounts, network namespaces, containerd); {instead}")


def install(programs: dict[str, str]) -> None:
    """Installs the packages of those programs that are missing."""
    missing = sorted({package for program, package in programs.items() if not _present(program)})
    if not missing:
        return
    require_root(f"install {', '.join(missing)}")
    if shutil.which("apt-get") is None:
        raise ClusterError(f"missing: {', '.join(missing)}; there is no apt-get here, install them yourself")
    print(f"installing {', '.join(missing)} with apt-get ...", flush=True)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    try:
        shell.run(command, why="install packages", env=quiet)
    except ClusterError:
        # The lists may be missing or stale: only then is it worth the time to fetch them.
        shell.run(["apt-get", "update", "-q"], why="fetch the package lists", env=quiet)
        shell.run(command, why="install packages", env=quiet)


def _present(program: str) -> bool:
    return shutil.which(program, path=shell.environment()["PATH"]) is not None
