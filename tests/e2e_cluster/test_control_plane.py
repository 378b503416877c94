"""A control plane of its own: no root, beside others, and nothing left."""

import json
import socket
from collections import Counter

import pytest

from e2e.cluster import api, controlplane, lock
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import layout
from e2e.cluster.process import Process
from e2e.cluster.up import up


def free_ports() -> int:
    """The first of three free ports in a row."""
    for port in range(17443, 18443, 3):
        try:
            controlplane.require_free("127.0.0.1", (port, port + 1, port + 2))
        except ClusterError:
            continue
        return port
    raise AssertionError("no three free ports")


def test_a_taken_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=f"port {port} .* choose another"):
            controlplane.require_free("127.0.0.1", (port,))


def test_without_root_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match=r"could not start a node.*--control-plane-only"):
        up(layout())


def test_a_lock_is_free_again_after_its_holder(tmp_path):
    for _ in range(2):
        with lock.held(tmp_path, "one"):
            pass


def test_the_cache_folder_is_the_one_named(monkeypatch, tmp_path):
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path))
    assert layout().kubeconfig == tmp_path / "run" / "pki" / "admin.conf"


@pytest.mark.apiserver
def test_its_life(tmp_path):
    port = free_ports()
    kubeconfig = controlplane.start(tmp_path, port)
    try:
        assert controlplane.start(tmp_path, port) == kubeconfig  # again: nothing changes
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}
        assert api.call(kubeconfig, "POST", "/api/v1/namespaces/default/configmaps", body).status == 201

        lines = [json.loads(line) for line in (tmp_path / "log" / "audit.log").read_text().splitlines()]
        writes = Counter((line["userAgent"], line["verb"]) for line in lines if line["verb"] == "create")
        assert writes["finetune-e2e", "create"] == 1

        controlplane.stop(tmp_path, keep=True)
        controlplane.start(tmp_path, port)
        assert api.call(kubeconfig, "GET", "/api/v1/namespaces/default/configmaps/kept").status == 200
    finally:
        controlplane.stop(tmp_path)
    assert [Process(tmp_path / "log", name).pid() for name in ("etcd", "kube-apiserver")] == [None, None]
    assert not list(tmp_path.iterdir())
