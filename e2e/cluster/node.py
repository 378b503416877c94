"""The node: namespaces of its own for mounts, processes and network, in which the whole cluster runs.

What the cluster makes (containers, mounts, bridges, iptables rules, network namespaces) is made inside, and the
kernel removes all of it when the namespaces' first process ends. So `down` is complete whatever state a killed
`up` or a crashed kubelet has left, and nothing of this machine's own is edited.
"""

import contextlib
import shutil
from pathlib import Path

from e2e.cluster import shell
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import NODE_NAME, Layout
from e2e.cluster.process import Process, children, wait_until

READY_SECONDS = 15.0
INIT = "finetune-node"

# Runs as process 1 before it becomes INIT: a failed step ends the namespaces again, so they are never half made.
#   $1 the folder for what the node keeps below /var
PREPARE = r"""
set -e
state=$1; init=$2
# sysfs shows the network namespace that it was mounted in; the cgroups below it stay the machine's.
mkdir -p "$state/cgroup" && mount --rbind /sys/fs/cgroup "$state/cgroup"
mount -t sysfs sysfs /sys && mount --rbind "$state/cgroup" /sys/fs/cgroup && umount -R "$state/cgroup"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
for folder in /var/log /var/lib/cni /var/lib/kubelet; do
  mkdir -p "$state$folder" "$folder"
  mount --bind "$state$folder" "$folder"
done
# Last: while mounts are shared, taking one down takes its copies down too.
mount --make-rshared /
hostname "$3"
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
exec "$init"
"""


def holder(where: Layout) -> Process:
    """The process outside that made the namespaces; its child is process 1 inside."""
    return Process(where.log, "node")


def first_pid(where: Layout) -> int | None:
    """The pid, as seen from outside, of the namespaces' first process, once it is prepared."""
    pid = holder(where).pid()
    if pid is None:
        return None
    for child in children(pid):
        if _name(child) == INIT:
            return child
    return None


def start(where: Layout) -> int:
    """Makes the namespaces unless they are there; returns the pid of their first process."""
    pid = first_pid(where)
    if pid is not None:
        return pid
    holder(where).stop()  # one that never came to be prepared
    state = where.run / "node"
    state.mkdir(parents=True, exist_ok=True)
    namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--net", "--uts", "--fork", "--mount-proc"]
    arguments = [str(state), str((where.path / INIT).resolve()), NODE_NAME]
    holder(where).start([*namespaces, "sh", "-c", PREPARE, "prepare", *arguments], cwd=where.run)

    def prepared_or_ended() -> bool:
        return first_pid(where) is not None or _ended(where)

    if not wait_until(prepared_or_ended, seconds=READY_SECONDS) or (pid := first_pid(where)) is None:
        raise ClusterError(
            f"could not make the node's namespaces; the end of {holder(where).log}:\n{holder(where).tail()}"
        )
    return pid


def enter(pid: int) -> tuple[str, ...]:
    """What to put in front of a command to run it in the node."""
    return ("nsenter", "-t", str(pid), "-m", "-u", "-n", "-p", "--")


def run(where: Layout, argv: list[str | Path], *, why: str, stdin: str | None = None) -> str:
    """Runs a command in the node to its end."""
    pid = first_pid(where)
    if pid is None:
        raise ClusterError(f"could not {why}: the node does not run; start it with `python3 -m e2e.cluster up`")
    return shell.run([*enter(pid), *argv], why=why, stdin=stdin)


def stop(where: Layout) -> None:
    """Ends the namespaces and, by that, every process and mount and link in them."""
    pid = holder(where).pid()
    if pid is None:
        return
    holder(where).stop(grace=20.0)  # the kernel ends hundreds of processes and takes their mounts down meanwhile


def remove_cgroups() -> None:
    """Cgroups are the machine's, not the namespaces': the kubelet's empty ones stay behind."""
    for top in sorted(Path("/sys/fs/cgroup").glob("**/kubepods")):
        for folder in sorted((p for p in top.rglob("*") if p.is_dir()), key=lambda p: len(p.parts), reverse=True):
            _remove_empty(folder)
        _remove_empty(top)


def cgroups() -> list[Path]:
    return sorted(Path("/sys/fs/cgroup").glob("*/kubepods")) + sorted(Path("/sys/fs/cgroup").glob("kubepods"))


def remove_state(where: Layout, *, kept: tuple[str, ...]) -> None:
    """What the cluster held: its objects, certificates, volumes, pods' folders."""
    for path in where.run.iterdir() if where.run.exists() else ():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another cluster's containers are in it
        folder.rmdir()


def _ended(where: Layout) -> bool:
    return holder(where).pidfile.exists() and holder(where).pid() is None


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
