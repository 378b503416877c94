"""A Hub that has nothing to give: what a trainer hears about models that are missing or gated."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What the real Hub says in its headers; huggingface_hub tells its errors apart by them.
ERROR_CODES = {404: "RepoNotFound", 403: "GatedRepo"}


@contextmanager
def fake_hub(address: str, repositories: Mapping[str, int]) -> Iterator[str]:
    """Serve on the address, answering each repository with its HTTP status; yields the endpoint's URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = next((code for name, code in repositories.items() if name in self.path), 404)
            body = json.dumps({"error": ERROR_CODES[status]}).encode()
            self.send_response(status)
            self.send_header("X-Error-Code", ERROR_CODES[status])
            self.send_header("X-Error-Message", ERROR_CODES[status])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Nothing: the test's own output is what is read."""

    server = ThreadingHTTPServer((address, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
