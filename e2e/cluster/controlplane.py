"""etcd and the API server: in the node of the full cluster, or alone in a folder of their own.

Alone they need no root and run beside the cluster and beside one another, each in a folder and on ports of its
own. There is no controller and no node then: a Job makes no pod, an owner's deletion removes no child, a deleted
namespace stays. What an operator writes can be seen and counted, which is what integration tests and benchmarks need.

    kubeconfig = controlplane.start(Path("/tmp/plane"), port=7443)
    ...
    controlplane.stop(Path("/tmp/plane"))
"""

import json
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import api, binaries, lock, packages, pki
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import API_SERVICE_IP, SERVICE_CIDR, Layout, layout
from e2e.cluster.process import Process, wait_until

READY_SECONDS = 90.0
ETCD_READY_SECONDS = 30.0
NEEDED_MIB = 512

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # One line per request when it is answered: who, with which user agent, did what. No bodies.
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True, slots=True)
class Plane:
    """Where a control plane lives and listens. `enter` is put in front of each command (the node's namespaces)."""

    folder: Path
    address: str
    port: int
    bin: Path
    enter: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.pki / "admin.conf"

    @property
    def server(self) -> str:
        return f"https://{self.address}:{self.port}"

    @property
    def etcd(self) -> Process:
        return Process(self.log, "etcd")

    @property
    def apiserver(self) -> Process:
        return Process(self.log, "kube-apiserver")

    @property
    def ports(self) -> tuple[int, int, int]:
        """The API server's, etcd's for clients, etcd's for peers."""
        return self.port, self.port + 1, self.port + 2


ADMIN = pki.Identity("admin", "system:masters")


def start(directory: Path, port: int = 7443, *, where: Layout | None = None) -> Path:
    """Starts etcd and the API server in `directory` on `port` to `port + 2`; returns the admin's kubeconfig.

    Does nothing if they run. What they held before is there again, unless the folder was removed.
    """
    where = where or layout()
    directory = directory.resolve()
    packages.install({"openssl": "openssl"})
    binaries.build(where, binaries.CONTROL_PLANE)
    plane = Plane(directory, "127.0.0.1", port, where.path)
    with lock.held(directory, "plane"):
        pki.create(plane.pki, {"admin": ADMIN, "apiserver": server_identity(plane.address)})
        pki.kubeconfig(plane.pki, "admin", plane.server)
        # No controller makes service accounts here, so admission must not ask for them.
        launch(plane, extra=("--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount"))
        wait_ready(plane)
    return plane.kubeconfig


def stop(directory: Path, *, keep: bool = False) -> None:
    """Ends what `start` began there and removes the folder's state, unless it is to be kept for a later start."""
    directory = directory.resolve()
    if not directory.exists():
        return
    with lock.held(directory, "plane"):
        plane = Plane(directory, "127.0.0.1", 0, directory)
        plane.apiserver.stop()
        plane.etcd.stop()
    if not keep:
        for name in ("etcd", "pki", "log", "audit-policy.json", "plane.lock"):
            path = directory / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def server_identity(address: str) -> pki.Identity:
    names = ("kubernetes.default.svc", "kubernetes.default", "localhost", "127.0.0.1", API_SERVICE_IP)
    return pki.Identity("kube-apiserver", serves=tuple(dict.fromkeys((*names, address))))


def launch(plane: Plane, *, extra: tuple[str, ...]) -> None:
    """Starts whichever of the two is missing."""
    binaries.require_space(plane.folder, NEEDED_MIB, why="start the control plane")
    if not plane.enter and plane.apiserver.pid() is None and plane.etcd.pid() is None:
        require_free(plane.address, plane.ports)
    (plane.folder / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
    plane.etcd.start([*plane.enter, plane.bin / "etcd", *_etcd_flags(plane)], cwd=plane.folder)
    # An API server that starts before etcd listens backs off for seconds; waiting for the port takes tenths of one.
    if not wait_until(
        lambda: _listens(plane.address, plane.ports[1]) or plane.etcd.pid() is None, seconds=ETCD_READY_SECONDS
    ):
        raise ClusterError(
            f"etcd does not listen on port {plane.ports[1]}; the end of {plane.etcd.log}:\n{plane.etcd.tail()}"
        )
    plane.etcd.require_alive()
    plane.apiserver.start(
        [*plane.enter, plane.bin / "kube-apiserver", *_apiserver_flags(plane), *extra], cwd=plane.folder
    )


def wait_ready(plane: Plane) -> None:
    def ready_or_ended() -> bool:
        plane.etcd.require_alive()
        plane.apiserver.require_alive()
        return api.ready(plane.kubeconfig)

    if not wait_until(ready_or_ended, seconds=READY_SECONDS, every=0.1):
        raise ClusterError(
            f"the API server at {plane.server} is not ready after {READY_SECONDS:.0f} s; "
            f"the end of {plane.apiserver.log}:\n{plane.apiserver.tail()}"
        )


def require_free(address: str, ports: tuple[int, ...]) -> None:
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                raise ClusterError(
                    f"port {port} of {address} is taken ({error.strerror}); end what listens there "
                    f"(`ss -ltnp 'sport = :{port}'` names it) or choose another port"
                ) from None


def _listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False


def _etcd_flags(plane: Plane) -> list[str]:
    client, peer = (f"http://{plane.address}:{port}" for port in plane.ports[1:])
    return [
        f"--data-dir={plane.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # a cluster that is thrown away has nothing to lose in a power cut
        "--log-level=warn",
    ]


def _apiserver_flags(plane: Plane) -> list[str]:
    return [
        f"--etcd-servers=http://{plane.address}:{plane.ports[1]}",
        f"--bind-address={plane.address}",
        f"--secure-port={plane.port}",
        f"--tls-cert-file={plane.pki / 'apiserver.crt'}",
        f"--tls-private-key-file={plane.pki / 'apiserver.key'}",
        f"--client-ca-file={plane.pki / 'ca.crt'}",
        f"--service-account-key-file={plane.pki / 'sa.pub'}",
        f"--service-account-signing-key-file={plane.pki / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--allow-privileged=true",
        "--profiling=false",
        f"--audit-policy-file={plane.folder / 'audit-policy.json'}",
        f"--audit-log-path={plane.log / 'audit.log'}",
        "--audit-log-maxsize=100",
        "--audit-log-maxbackup=3",
    ]
