"""Objects and a clock for tests of the operator."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from finetune_api import API_VERSION, KIND
from finetune_api.names import JOB_NAME_LABEL, JOB_UID_LABEL, MANAGED_BY, MANAGED_BY_LABEL


def job(name: str = "invoices", *, uid: str = "u1", version: int = 1, **rest: Any) -> dict[str, Any]:
    """A FineTuneJob as the API server gives it."""
    metadata = {"namespace": "team", "name": name, "uid": uid, "resourceVersion": str(version), "generation": 1}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {}, **rest}


def child(
    kind: str = "ConfigMap",
    name: str = "invoices-a1",
    *,
    owner: str = "u1",
    uid: str = "c1",
    version: int = 2,
    **rest: Any,
) -> dict[str, Any]:
    """Something that belongs to the job of this UID."""
    api_version = {"Job": "batch/v1"}.get(kind, "v1")
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "labels": {MANAGED_BY_LABEL: MANAGED_BY, JOB_NAME_LABEL: "invoices", JOB_UID_LABEL: owner},
            "ownerReferences": [
                {"apiVersion": API_VERSION, "kind": KIND, "name": "invoices", "uid": owner, "controller": True}
            ],
        },
        **rest,
    }


@dataclass
class FakeTimer:
    """A call in the future."""

    at: float
    call: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True

    def when(self) -> float:
        return self.at


@dataclass
class FakeClock:
    """Time that passes when it is told to."""

    now: float = 0.0
    timers: list[tuple[float, int, FakeTimer]] = field(default_factory=list)
    _order: Any = field(default_factory=itertools.count)

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> FakeTimer:
        timer = FakeTimer(self.now + delay, lambda: callback(*args))
        heapq.heappush(self.timers, (timer.at, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            at, _, timer = heapq.heappop(self.timers)
            self.now = at
            if not timer.cancelled:
                timer.call()
        self.now = end
