"""A real kube-apiserver and etcd for tests, with the FineTuneJob resource in it. They fail where it cannot be had."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import controlplane
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import layout
from e2e.kubectl import Kubectl, Object, environment

TOP = Path(__file__).parent.parent
CRD = TOP / "crds/finetunejobs.yaml"
# Below what Linux gives to outgoing connections (32768 and up), so that a free one stays free.
PORTS = range(21000, 22000, 3)


@dataclass(frozen=True, slots=True)
class ApiServer:
    """The server, as its administrator."""

    kubeconfig: Path
    kubectl: Kubectl

    def in_namespace(self, name: str) -> Kubectl:
        """kubectl in a namespace that is made if it is not there."""
        self.kubectl("apply", "-f", "-", stdin=f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
        return Kubectl(self.kubectl.env, name)


@contextmanager
def running(folder: Path) -> Iterator[ApiServer]:
    """Start a server in a folder of its own; stop it at the end."""
    kubeconfig = controlplane.start(folder, _free_port())
    try:
        variables = environment(os.environ, kubeconfig=kubeconfig, path=layout().path)
        kubectl = Kubectl(variables | {"HOME": str(folder)}, "default")
        kubectl("apply", "--server-side", "-f", str(CRD))
        kubectl.until("crd", "finetunejobs.finetune.dev", _established, seconds=60, every=0.1)
        yield ApiServer(kubeconfig, kubectl)
    finally:
        controlplane.stop(folder)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """All that kubectl printed."""
    return done.stdout + done.stderr


def _established(crd: Object) -> bool:
    # at first the list of conditions is null
    return any(c["type"] == "Established" and c["status"] == "True" for c in crd["status"]["conditions"] or ())


def _free_port() -> int:
    for port in PORTS:
        try:
            controlplane.require_free("127.0.0.1", (port, port + 1, port + 2))
        except ClusterError:
            continue
        return port
    raise ClusterError(f"no three free ports in a row in {PORTS}")
