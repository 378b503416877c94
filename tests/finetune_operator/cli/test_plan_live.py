"""`finetune plan --kubeconfig` given clusters that say no, and kubeconfigs that are none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.finetune_operator.cli.test_plan import job, plan
from tests.finetune_operator.cli.test_plan_input import gpu_node

FORBIDDEN = {"kind": "Status", "reason": "Forbidden", "message": 'nodes is forbidden: User "bob" cannot list'}


@contextmanager
def api_server(folder: Path, answers: Mapping[str, tuple[int, Any]]) -> Iterator[Path]:
    """A kubeconfig of a server that answers so, by the end of the path; all else is not found."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            status, body = next((each for end, each in answers.items() if path.endswith(end)), (404, {}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode() if isinstance(body, str) else json.dumps(body).encode())

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield kubeconfig(folder, f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


def kubeconfig(folder: Path, server: str, *, context: str = "here") -> Path:
    path = folder / "kubeconfig"
    content = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": context,
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"/nodes": (403, FORBIDDEN)}, "GET /api/v1/nodes: 403 Forbidden: nodes is forbidden: User"),
        ({"/nodes": (401, {"reason": "Unauthorized"})}, "GET /api/v1/nodes: 401 Unauthorized"),
        ({"/nodes": (500, "boom")}, "GET /api/v1/nodes: 500"),
        ({"/nodes": (200, "<html>log in</html>")}, "the answer is no list of objects; this is no API server"),
        ({"/nodes": (200, {"items": 3})}, "the answer is no list of objects; this is no API server"),
        ({"/nodes": (200, {"items": []}), "/pods": (200, {"items": []})}, "the cluster has no node"),
    ],
)
def test_clusters_that_say_no(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answers: Mapping[str, tuple[int, Any]], says: str
) -> None:
    with api_server(tmp_path, answers) as path:
        code, out, err = plan(capsys, job(tmp_path), "--kubeconfig", str(path))
    assert (code, out) == (78, "")
    assert err.startswith(f"error: kubeconfig {path}: ")
    assert says in err


def test_pods_that_may_not_be_seen_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with api_server(tmp_path, {"/nodes": (200, {"items": [gpu_node()]}), "/pods": (403, FORBIDDEN)}) as path:
        code, out, err = plan(capsys, job(tmp_path), "--kubeconfig", str(path), "-o", "json")
    assert (code, json.loads(out)["accelerator"]) == (0, "L4")
    assert err == "warning: you may not list the cluster's pods, so all that its nodes have counts as free\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no such file"),
        (b"", "holds no configuration"),
        (b"\xff\xfe\x00", "codec can't decode"),
        (b"a: 1\n", "current-context"),
    ],
)
def test_kubeconfigs_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, says: str
) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_bytes(content)
    code, out, err = plan(capsys, job(tmp_path), "--kubeconfig", str(path))
    assert (code, out) == (78, "")
    assert err.startswith(f"error: kubeconfig {path}: ")
    assert says in err


@pytest.mark.parametrize("context", ["here", "elsewhere"])
def test_clusters_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], context: str) -> None:
    path = kubeconfig(tmp_path, "http://127.0.0.1:1", context=context)
    code, out, err = plan(capsys, job(tmp_path), "--kubeconfig", str(path))
    assert (code, out) == (78, "")
    assert err.startswith(f"error: kubeconfig {path}: ")
    assert ("Cannot connect" if context == "here" else "elsewhere") in err
