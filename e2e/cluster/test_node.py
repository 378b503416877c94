"""What users of Kubernetes take for granted, on this cluster: the node is a real one."""

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.cluster import down, gpus, layout, shell, up
from e2e.images.build import IMAGES, build_and_push

pytestmark = pytest.mark.cluster

NAMESPACE = "node-test"
WHERE = layout.layout()


KUBECTL = (str(WHERE.path / "kubectl"), f"--kubeconfig={WHERE.kubeconfig}", f"--namespace={NAMESPACE}")


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    return shell.run([*KUBECTL, *arguments], why="try the node", stdin=stdin, timeout=180)


def pod(name: str, image: str, program: str, **more: Any) -> str:
    """A pod that the restricted profile admits, with a read-only root, running a Python program."""
    closed = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "main", "image": image, "command": ["python", "-c", program], "securityContext": closed}
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{**container, **more.pop("container", {})}],
        **more,
    }
    metadata = {"name": name, "labels": {"app": name}}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def test_down_leaves_nothing_and_up_comes_back() -> None:
    if up.plane(WHERE).apiserver.pid() is not None:
        pytest.skip("the cluster is in use; `python3 -m e2e.cluster down` first, and this is run")
    up.up(WHERE)
    down.down(WHERE)
    assert down.leftovers(WHERE) == []
    up.up(WHERE)


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    up.up(WHERE)
    references = build_and_push(WHERE, IMAGES[:1], f"{layout.REGISTRY}/finetune")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield references["operator"]
    kubectl("delete", "namespace", NAMESPACE, "--timeout=180s")


def test_a_restricted_pod_writes_to_a_volume_made_for_it(image: str) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "work"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(claim))
    program = "open('/work/x', 'w').write('y'); open('/dev/termination-log', 'w').write('written')"
    mounts = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    volumes = [{"name": "work", "persistentVolumeClaim": {"claimName": "work"}}]
    kubectl("apply", "-f", "-", stdin=pod("writer", image, program, container=mounts, volumes=volumes))
    kubectl("wait", "pod/writer", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=180s")
    message = "{.status.containerStatuses[0].state.terminated.message}"
    assert kubectl("get", "pod", "writer", "-o", f"jsonpath={message}") == "written"


def test_names_are_resolved_and_services_reached(image: str) -> None:
    program = (
        "import socket, urllib.request as u;"
        "print(socket.gethostbyname('kubernetes.default.svc.cluster.local'));"
        "print(u.urlopen('http://registry.kube-system.svc:5000/v2/', timeout=10).status)"
    )
    kubectl("apply", "-f", "-", stdin=pod("asks", image, program))
    kubectl("wait", "pod/asks", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=180s")
    assert kubectl("logs", "asks").split() == [layout.API_SERVICE_IP, "200"]


def test_exec_and_port_forward(image: str) -> None:
    program = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080)"
    kubectl("apply", "-f", "-", stdin=pod("web", image, program, container={"workingDir": "/opt/finetune"}))
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=180s")
    assert kubectl("exec", "web", "--", "python", "-c", "import os; print(os.getuid())").strip() == "65532"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    forward = subprocess.Popen([*KUBECTL, "port-forward", "pod/web", f"{port}:8080"], stdout=subprocess.DEVNULL)
    try:
        assert _status(f"http://127.0.0.1:{port}/") == 200
    finally:
        forward.terminate()
        forward.wait()
    kubectl("delete", "pod", "web", "--now")


def test_a_privileged_pod_is_refused(image: str) -> None:
    privileged = {"securityContext": {"privileged": True}}
    with pytest.raises(Exception, match="violates PodSecurity"):
        kubectl("apply", "-f", "-", stdin=pod("bad", image, "", container=privileged))


def test_pretended_gpus_are_scheduled(image: str) -> None:
    before = gpus.wanted(WHERE)
    gpus.want(WHERE, gpus.Gpus("A100-80GB", 4))
    gpus.apply(WHERE)
    try:
        needs = {"resources": {"limits": {gpus.RESOURCE: 3}}}
        kubectl("apply", "-f", "-", stdin=pod("three", image, "pass", container=needs))
        kubectl("wait", "pod/three", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=180s")
    finally:
        gpus.want(WHERE, before or gpus.Gpus("A100-80GB", 0))
        gpus.apply(WHERE)


def _status(url: str) -> int:
    """The status of a server that may take a moment to listen."""
    for _ in range(50):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status)
        except OSError:
            time.sleep(0.2)
    return 0
