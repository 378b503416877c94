"""A thin client of the API server on plain dicts, with a limit on connections and a time limit on each call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any

import aiohttp

from finetune_operator.access import Access
from finetune_operator.kinds import Kind

CONNECTIONS = 16
TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)
USER_AGENT = "finetune-operator"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

Document = dict[str, Any]


class ApiError(RuntimeError):
    """The API server said no.

    Attributes:
        status: HTTP status.
        reason: its reason in one word, such as AlreadyExists.
        message: its sentence.
        retry_after: seconds to leave it alone, where it asked for that.
    """

    def __init__(self, what: str, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{what}: {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def passes(self) -> bool:
        """Whether the API server is only busy or unwell."""
        return self.status == 429 or self.status >= 500


class UnreachableError(ConnectionError):
    """The API server did not answer (in time)."""


class Client:
    """Calls to the API server as one identity. Use as an async context manager."""

    def __init__(self, read_access: Callable[[], Awaitable[Access]], *, user_agent: str = USER_AGENT) -> None:
        self._read_access = read_access
        self._user_agent = user_agent
        self._access: Access | None = None
        self._session: aiohttp.ClientSession | None = None
        self._login = asyncio.Lock()

    async def __aenter__(self) -> Client:
        await self._log_in(None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def _log_in(self, failed: Access | None) -> None:
        async with self._login:
            if self._access is not failed:  # another call has done it meanwhile
                return
            self._access = await self._read_access()
            if self._session is None or failed is None:
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self._access.ssl_context()),
                    timeout=TIMEOUT,
                    headers={"User-Agent": self._user_agent, "Accept": JSON},
                )

    async def get(self, path: str, *, params: Mapping[str, str] | None = None, accept: str = JSON) -> Document:
        """GET; also of lists and of what is behind a proxy subresource."""
        return await self._call("GET", path, params=params, headers={"Accept": accept})

    async def create(self, kind: Kind, namespace: str, manifest: Mapping[str, Any]) -> Document:
        """POST; returns the object as the API server has it."""
        return await self._call("POST", kind.path(namespace), body=manifest)

    async def replace(self, kind: Kind, namespace: str, name: str, manifest: Mapping[str, Any]) -> Document:
        """PUT; refused (409) where the manifest's resourceVersion is not the current one."""
        return await self._call("PUT", kind.path(namespace, name), body=manifest)

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Mapping[str, Any], *, subresource: str | None = None
    ) -> Document:
        """Merge patch; returns the object as the API server has it."""
        path = kind.path(namespace, name, subresource=subresource)
        return await self._call("PATCH", path, body=body, headers={"Content-Type": MERGE_PATCH})

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> Document:
        """DELETE of exactly this object; what it owns goes too (a bare DELETE of a Job leaves its pod running)."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        return await self._call("DELETE", kind.path(namespace, name), body=options)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Document:
        """One request.

        Raises:
            ApiError: the answer's status is 400 or more.
            UnreachableError: there was no answer within 30 s.
        """
        for last in (False, True):
            access = self._access
            if access is None or self._session is None:
                raise RuntimeError("Client is used outside of `async with`")
            sent = {"Content-Type": JSON} if body is not None else {}
            if access.authorization:
                sent["Authorization"] = access.authorization
            try:
                async with self._session.request(
                    method,
                    access.server + path,
                    data=json.dumps(body, separators=(",", ":")) if body is not None else None,
                    params=params,
                    headers={**sent, **(headers or {})},
                ) as response:
                    text = await response.text()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise UnreachableError(f"{method} {path}: {type(error).__name__}: {error}") from error
            if response.status == 401 and not last:
                await self._log_in(access)  # service account tokens are renewed on disk every hour
                continue
            if response.status >= 400:
                raise _error(f"{method} {path}", response.status, text, response.headers.get("Retry-After"))
            return _document(text)
        raise AssertionError("unreachable: the second try returns or raises")


def _document(text: str) -> Document:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _error(what: str, status: int, text: str, retry_after: str | None) -> ApiError:
    answer = _document(text)
    wait = float(retry_after) if retry_after and retry_after.isdigit() else None
    return ApiError(what, status, str(answer.get("reason", "")), str(answer.get("message") or text[:500]), wait)
