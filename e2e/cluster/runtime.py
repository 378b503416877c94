"""containerd in the node: its configuration, and the one image that must be there before any can be pulled."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from e2e.cluster import node, shell
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import POD_CIDR, REGISTRY, Layout
from e2e.cluster.packages import CNI_PLUGINS
from e2e.cluster.process import Process, wait_until

NAMESPACE = "k8s.io"  # containerd's name for what belongs to Kubernetes
READY_SECONDS = 30.0
CNI_NETWORK = "pods"


def process(where: Layout) -> Process:
    return Process(where.log, "containerd")


def start(where: Layout, enter: tuple[str, ...]) -> None:
    if process(where).pid() is not None and _answers(where):
        return
    _configure(where)
    _start(where, enter)
    if not (where.run / "containers-cleared").exists():
        # containerd's root outlives `down` for its images; the containers of the cluster that was are still listed.
        leftovers = ctr(where, "containers", "list", "-q").split()
        if leftovers:
            ctr(where, "containers", "rm", *leftovers)
            process(where).stop()  # its Kubernetes side read them at start
            _start(where, enter)
        (where.run / "containers-cleared").touch()


def ctr(where: Layout, *arguments: str) -> str:
    return shell.run(["ctr", "-a", where.containerd_socket, "-n", NAMESPACE, *arguments], why="ask containerd")


def import_node_image(where: Layout) -> None:
    """The image that holds `pause` and `volume`."""
    program = (where.path / node.INIT).read_bytes()
    name = node_image_name(where)
    if name not in ctr(where, "images", "list", "-q").split():
        where.images.mkdir(parents=True, exist_ok=True)
        archive = where.images / "node.tar"
        _write_archive(archive, name, program)
        ctr(where, "images", "import", str(archive))
        archive.unlink()


def node_image_name(where: Layout) -> str:
    """Changes with the program in it, so that a new one is never taken for the old."""
    return f"localhost/finetune-node:{hashlib.sha256((where.path / node.INIT).read_bytes()).hexdigest()[:12]}"


def _start(where: Layout, enter: tuple[str, ...]) -> None:
    config = where.run / "containerd" / "config.toml"
    process(where).start([*enter, "containerd", "-c", config, "-l", "warn"], cwd=where.run)
    if not wait_until(lambda: _answers(where), seconds=READY_SECONDS, every=0.1):
        raise ClusterError(f"containerd does not answer; the end of {process(where).log}:\n{process(where).tail()}")


def _answers(where: Layout) -> bool:
    process(where).require_alive()
    try:
        ctr(where, "namespaces", "list", "-q")
    except ClusterError:
        return False
    return True


def _configure(where: Layout) -> None:
    folder = where.run / "containerd"
    cni = folder / "cni"
    hosts = folder / "certs.d" / REGISTRY
    for path in (cni, hosts, where.containerd):
        path.mkdir(parents=True, exist_ok=True)
    (hosts / "hosts.toml").write_text(
        f'server = "http://{REGISTRY}"\n[host."http://{REGISTRY}"]\n  capabilities = ["pull", "resolve"]\n'
    )
    (folder / "config.toml").write_text(f"""version = 2
root = "{where.containerd}"
state = "{folder / "state"}"
[grpc]
  address = "{where.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{node_image_name(where)}"
  # Without CAP_SYS_RESOURCE no process may lower its oom_score_adj, and runc dies with
  # "can't get final child's PID from pipe: EOF" unless this is set.
  restrict_oom_score_adj = true
  max_concurrent_downloads = 3
  [plugins."io.containerd.grpc.v1.cri".containerd]
    # The registry on this same disk has the layers; a second, packed copy of each would double the space.
    discard_unpacked_layers = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder / "certs.d"}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{cni}"
""")
    (cni / "10-pods.conflist").write_text(
        json.dumps(
            {
                "cniVersion": "1.0.0",
                "name": CNI_NETWORK,
                "plugins": [
                    {
                        "type": "bridge",
                        "bridge": "cni0",
                        "isGateway": True,
                        "ipMasq": True,
                        "hairpinMode": True,  # a pod may reach itself through its own Service
                        "ipam": {
                            "type": "host-local",
                            "ranges": [[{"subnet": POD_CIDR}]],
                            "routes": [{"dst": "0.0.0.0/0"}],
                        },
                    },
                    {"type": "loopback"},
                ],
            }
        )
    )


def _write_archive(path: Path, name: str, program: bytes) -> None:
    """A docker archive with one layer, as `ctr images import` reads it; no image builder is needed for that."""
    layer = _tar({"pause": program, "volume": program}, mode=0o755)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {
        "layer.tar": layer,
        "config.json": json.dumps(config).encode(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    path.write_bytes(_tar(files, mode=0o644))


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
