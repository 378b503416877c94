"""Brings the cluster up, from nothing or from whatever state a killed `up` or a crash has left."""

import time
from pathlib import Path

from e2e.cluster import (
    api,
    binaries,
    components,
    controlplane,
    gpus,
    lock,
    network,
    node,
    packages,
    pki,
    registry_port,
    runtime,
    shell,
)
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import API_PORT, NODE_IP, NODE_NAME, Layout
from e2e.cluster.process import wait_until

NEEDED_MIB = 1024
NODE_READY_SECONDS = 90.0
MANIFESTS = binaries.MODULES.parent / "manifests"


def up(where: Layout, *, pretend: gpus.Gpus | None = None) -> None:
    """Starts what does not run; returns when the node is ready and pods can be created."""
    packages.require_root("start a node", instead="run it with sudo, or use --control-plane-only, which needs none")
    packages.install(packages.NODE_PROGRAMS)
    binaries.build(where, (*binaries.CONTROL_PLANE, *binaries.NODE))
    with lock.held(where.locks, "cluster"):
        began = time.monotonic()
        binaries.require_space(where.cache, NEEDED_MIB, why="start the cluster")
        where.log.mkdir(parents=True, exist_ok=True)
        pid = _node(where)
        enter = node.enter(pid)
        plane = _control_plane(where, enter)
        runtime.start(where, enter)
        runtime.import_node_image(where)
        registry_port.open_on_host(where)
        controlplane.wait_ready(plane)
        _components(where, enter)
        _manifests(where)
        _wait_node(where)
        if pretend is not None:
            gpus.want(where, pretend)
        gpus.apply(where)
        print(f"the cluster is up ({time.monotonic() - began:.1f} s); export KUBECONFIG={where.kubeconfig}")


def _node(where: Layout) -> int:
    pid = node.start(where)
    network.connect(where, pid)
    return pid


def plane(where: Layout, enter: tuple[str, ...] = ()) -> controlplane.Plane:
    return controlplane.Plane(where.run, NODE_IP, API_PORT, where.path, enter)


def _control_plane(where: Layout, enter: tuple[str, ...]) -> controlplane.Plane:
    here = plane(where, enter)
    pki.create(where.pki, {**components.IDENTITIES, "apiserver": controlplane.server_identity(NODE_IP)})
    pki.kubeconfig(where.pki, "admin", here.server)
    controlplane.launch(here, extra=(*components.APISERVER_FLAGS, *components.kubelet_client_flags(where)))
    return here


def _components(where: Layout, enter: tuple[str, ...]) -> None:
    where.registry.mkdir(exist_ok=True)
    for component in components.all_of(where):
        argv = [*enter, str(where.path / component.name), *component.argv]
        components.process(where, component.name).start(argv, cwd=where.run, env=component.env)


def _manifests(where: Layout) -> None:
    """DNS, storage class and the like; once for a cluster, as starting kubectl costs a second."""
    done = where.run / "manifests-applied"
    if done.exists():
        return
    kubectl: list[str | Path] = [where.path / "kubectl", f"--kubeconfig={where.kubeconfig}"]
    apply: list[str | Path] = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=development-cluster",
        "-f",
        MANIFESTS,
    ]
    shell.run([*kubectl, *apply], why="apply the cluster's own manifests")
    done.touch()


def _wait_node(where: Layout) -> None:
    def ready_or_ended() -> bool:
        for name in components.names():
            components.process(where, name).require_alive()
        return api.node_ready(where.kubeconfig, NODE_NAME) and api.pods_admitted(where.kubeconfig)

    if not wait_until(ready_or_ended, seconds=NODE_READY_SECONDS, every=0.2):
        kubelet = components.process(where, "kubelet")
        raise ClusterError(
            f"the node is not ready after {NODE_READY_SECONDS:.0f} s; the end of {kubelet.log}:\n{kubelet.tail()}"
        )
