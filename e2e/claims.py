"""Puts files on a PersistentVolumeClaim and takes them off again, by a short-lived pod and tar."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from e2e.kubectl import Kubectl, KubectlError

MOUNT = "/data"
USER = 65532  # the trainer's: what it is given it must be able to read


def claim(name: str, size: str) -> dict[str, Any]:
    """A claim of the cluster's default StorageClass."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }


def _pod(name: str, claim_name: str, image: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "files",
                    "image": image,
                    "command": ["sleep", "3600"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "data", "mountPath": MOUNT}],
                }
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}],
        },
    }


@contextmanager
def pod_on(kube: Kubectl, claim_name: str, image: str) -> Iterator[str]:
    """The name of a running pod that has the claim at MOUNT; gone afterwards."""
    name = f"files-{claim_name}"[:63]
    kube.delete("pod", name)
    kube("create", "-f", "-", stdin=json.dumps(_pod(name, claim_name, image)))
    try:
        kube("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=300s", timeout=310)
        yield name
    finally:
        kube.delete("pod", name, wait=False)


def put(kube: Kubectl, claim_name: str, image: str, files: dict[str, Path]) -> None:
    """Copy files and folders onto the claim: name on the claim -> what to copy.

    Raises:
        KubectlError: the pod could not start, or the copy failed.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, path in files.items():
            tar.add(path, arcname=name)
    with pod_on(kube, claim_name, image) as pod:
        _exec(kube, pod, ["tar", "-xf", "-", "--no-same-owner", "-C", MOUNT], packed.getvalue())


def take(kube: Kubectl, claim_name: str, image: str, name: str, into: Path) -> Path:
    """Copy a file or folder off the claim; returns its place under `into`.

    Raises:
        KubectlError: the pod could not start, or there is no such file.
    """
    into.mkdir(parents=True, exist_ok=True)
    with pod_on(kube, claim_name, image) as pod:
        packed = _exec(kube, pod, ["tar", "-cf", "-", "-C", MOUNT, name], b"")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(into, filter="data")
    return into / name


def _exec(kube: Kubectl, pod: str, command: list[str], stdin: bytes) -> bytes:
    done = subprocess.run(
        kube.command("exec", "-i", pod, "--", *command), env=dict(kube.env), input=stdin, capture_output=True
    )
    if done.returncode != 0:
        raise KubectlError(f"{' '.join(command)} in pod {pod}: {done.stderr.decode().strip()}")
    return done.stdout
