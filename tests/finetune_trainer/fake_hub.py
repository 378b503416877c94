"""A Hugging Face Hub in one HTTP server: the endpoints that a download asks, and what the real one answers."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Repo:
    """One repository. `commits` maps a commit to its files, `branches` a branch to its commit."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str]
    gated: bool = False
    private: bool = False


@dataclass
class FakeHub:
    """Its state; tests change it while it runs."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    """models/ORG/NAME or datasets/ORG/NAME to repository."""
    good_tokens: set[str] = field(default_factory=set)
    """Tokens of accounts that may read what is gated or private."""
    weak_tokens: set[str] = field(default_factory=set)
    """Valid tokens of accounts that may not."""
    broken: int | None = None
    """HTTP status of every answer."""
    asked: list[str] = field(default_factory=list)
    """Method and path of every request."""


class _Refused(Exception):  # noqa: N818
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message


@contextmanager
def running() -> Iterator[FakeHub]:
    """A hub on a free port of this machine."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def _answer(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
            try:
                if hub.broken is not None:
                    raise _Refused(hub.broken, "", "broken")
                content, headers = _content(hub, path, token)
                self._send(200, content, headers, body=body)
            except _Refused as refused:
                headers = {"X-Error-Message": refused.message}
                if refused.code:
                    headers["X-Error-Code"] = refused.code
                self._send(refused.status, json.dumps({"error": refused.message}).encode(), headers, body=body)

        def _send(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _content(hub: FakeHub, path: str, token: str | None) -> tuple[bytes, dict[str, str]]:
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        kind, org, name, what, revision = parts[1], parts[2], parts[3], parts[4], "/".join(parts[5:])
        repo = _repo(hub, f"{kind}/{org}/{name}", token)
        commit = _commit(repo, revision)
        if what == "revision":
            return _json({"id": f"{org}/{name}", "sha": commit, "siblings": [], "private": repo.private, "tags": []})
        return _json(
            [
                {"type": "file", "path": file, "size": len(content), "oid": _etag(content)}
                for file, content in repo.commits[commit].items()
            ]
        )
    kind, parts = ("datasets", parts[1:]) if parts[0] == "datasets" else ("models", parts)
    org, name, _, revision, file = parts[0], parts[1], parts[2], parts[3], "/".join(parts[4:])
    repo = _repo(hub, f"{kind}/{org}/{name}", token)
    if repo.gated and token not in hub.good_tokens:
        # whoever isn't logged in gets 401, who is but has no access 403
        raise _Refused(401 if token is None else 403, "GatedRepo", f"Access to model {org}/{name} is restricted")
    commit = _commit(repo, revision)
    if file not in repo.commits[commit]:
        raise _Refused(404, "EntryNotFound", "Entry not found")
    content = repo.commits[commit][file]
    return content, {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": commit}


def _repo(hub: FakeHub, key: str, token: str | None) -> Repo:
    known = hub.good_tokens | hub.weak_tokens
    if token is not None and token not in known:
        raise _Refused(401, "", "Invalid credentials in Authorization header")
    repo = hub.repos.get(key)
    if repo is None or (repo.private and token not in hub.good_tokens):
        # the Hub doesn't tell strangers what exists
        raise _Refused(401 if token is None else 404, "RepoNotFound", "Repository not found")
    return repo


def _commit(repo: Repo, revision: str) -> str:
    commit = repo.branches.get(revision, revision)
    if commit not in repo.commits:
        raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return commit


def _etag(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _json(value: object) -> tuple[bytes, dict[str, str]]:
    return json.dumps(value).encode(), {"Content-Type": "application/json"}
