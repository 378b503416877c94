"""Takes the cluster down, and finds what a cluster could have left on this machine."""

import shutil
from pathlib import Path

from e2e.cluster import lock, network, node, packages, registry_port, shell
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import HOST_LINK, Layout

KEPT = ("log", "images.json")  # to be read after; and what was pushed to the registry, which stays


def down(where: Layout) -> None:
    """Ends everything and removes the cluster's state. Images, binaries and the registry's content stay."""
    packages.require_root("stop the node")
    with lock.held(where.locks, "cluster"):
        registry_port.process(where).stop()
        node.stop(where)
        network.disconnect(where)
        node.remove_cgroups()
        left = leftovers(where)
        if left:
            raise ClusterError("the cluster left things behind; remove them by hand:\n" + "\n".join(left))
        node.remove_state(where, kept=KEPT)


def clean(where: Layout) -> None:
    """Also removes what makes the next `up` quick: every byte that the cluster and its images take on the disk."""
    if where.run.exists():
        down(where)
    for folder in (
        where.run,
        where.containerd,
        where.registry,
        where.buildah,
        where.images,
        where.bin,
        where.cache / "go",
    ):
        if folder.exists():
            # Go makes its module cache read-only, which stops everyone but root.
            shell.run(["chmod", "-R", "u+w", folder], why=f"make {folder} removable")
            shutil.rmtree(folder)


def leftovers(where: Layout) -> list[str]:
    """Processes, mounts, links, rules, network namespaces and cgroups of a cluster on this machine."""
    found = [f"process {pid}: {words}" for pid, words in _processes(where)]
    mounts = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    found += [f"mount {point}" for point in mounts if point.startswith((f"{where.run}/", f"{where.containerd}/"))]
    if network.link() is not None:
        found.append(f"network link {HOST_LINK}")
    found += network.rules()
    found += [f"cgroup {folder}" for folder in node.cgroups()]
    return found


def _processes(where: Layout) -> list[tuple[int, str]]:
    """Those in namespaces of their own that run a program of the cluster or name its folders: components, shims."""
    found = []
    own = Path("/proc/self/ns/pid").readlink()
    named = (f"{where.run}/".encode(), f"{where.path}/".encode(), f"{where.containerd}/".encode())
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes()
            program = str((folder / "exe").readlink())
            inside = (folder / "ns" / "pid").readlink() != own
        except OSError:  # it has ended, or is a kernel thread
            continue
        # A control plane of its own runs the same programs, outside: it is no part of the cluster.
        if inside and (program.startswith(f"{where.bin}/") or any(name in words for name in named)):
            found.append((int(folder.name), words.replace(b"\0", b" ").decode(errors="replace")[:120]))
    return found
