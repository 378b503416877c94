"""The few calls that the tool makes to the API server itself: starting kubectl takes longer than each of them."""

import base64
import http.client
import json
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from e2e.cluster.failure import ClusterError


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str


def call(kubeconfig: Path, method: str, path: str, body: Any = None, *, timeout: float = 10.0) -> Answer:
    """One request as the kubeconfig's user. Raises OSError where there is no API server."""
    config = json.loads(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    # The ssl module reads a client's key from files only.
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        pair.flush()
        context.load_cert_chain(pair.name)
    server = urlsplit(cluster["server"])
    connection = http.client.HTTPSConnection(server.hostname or "", server.port, context=context, timeout=timeout)
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    headers = {"Content-Type": kind, "User-Agent": "finetune-e2e"}
    try:
        connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.read().decode())
    finally:
        connection.close()


def ready(kubeconfig: Path) -> bool:
    if not kubeconfig.exists():
        return False
    try:
        return call(kubeconfig, "GET", "/readyz", timeout=2).status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


def node_ready(kubeconfig: Path, name: str) -> bool:
    answer = call(kubeconfig, "GET", f"/api/v1/nodes/{name}")
    if answer.status != http.client.OK:
        return False
    conditions = json.loads(answer.body)["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def pods_admitted(kubeconfig: Path) -> bool:
    """Whether the default namespace has its service account, without which no pod can be created in it."""
    return call(kubeconfig, "GET", "/api/v1/namespaces/default/serviceaccounts/default").status == http.client.OK


def patch(kubeconfig: Path, path: str, body: Any) -> None:
    answer = call(kubeconfig, "PATCH", path, body)
    if answer.status >= http.client.BAD_REQUEST:
        raise ClusterError(f"could not patch {path}: HTTP {answer.status}: {answer.body[:500]}")
