"""A pod's status, told apart into the few states that a decision depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_api.contract import EXIT_CODES, TRAINER_CONTAINER, Outcome
from finetune_operator.reconcile.plan import Object
from finetune_operator.reconcile.status import read_time

# What the kubelet says of an image that it cannot get.
IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
# What it says while nothing is wrong.
QUIET_REASONS = frozenset({"", "ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, slots=True)
class Unscheduled:
    """It waits for a node; `message` is the scheduler's sentence, empty before it has looked."""

    message: str


@dataclass(frozen=True, slots=True)
class Creating:
    """It has a node since then, and its container is on the way."""

    name: str
    node: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Refused:
    """It has a node since then, and the kubelet says why its container does not start."""

    node: str
    since: datetime | None
    reason: str
    message: str

    @property
    def image(self) -> bool:
        """Whether it is the image's fault."""
        return self.reason in IMAGE_REASONS


@dataclass(frozen=True, slots=True)
class Running:
    """The trainer runs; `stopping_by` is when it will be killed, once it has been asked to stop."""

    name: str
    node: str
    ip: str
    started: datetime
    stopping_by: datetime | None


@dataclass(frozen=True, slots=True)
class Lost:
    """Its node does not answer: nobody knows whether the trainer runs."""

    node: str
    started: datetime | None


@dataclass(frozen=True, slots=True)
class Ended:
    """It has ended. Without an exit code it never had a container, or the node has forgotten it."""

    exit_code: int | None
    reason: str
    message: str
    started: datetime | None
    finished: datetime | None
    interrupted: bool
    """Disrupted from outside, or stopped by SIGTERM with a checkpoint: its Job goes on with another pod."""
    deleted: bool


PodState = Unscheduled | Creating | Refused | Running | Lost | Ended


def pod_state(pod: Object, nodes: Sequence[Object]) -> PodState:
    """The state of a training pod."""
    status, node = pod.get("status") or {}, str((pod.get("spec") or {}).get("nodeName") or "")
    container = _trainer(status)
    state = container.get("state") or {}
    if (terminated := state.get("terminated")) is not None or status.get("phase") in ("Succeeded", "Failed"):
        # After a kubelet's restart the end may stand in lastState.
        end = terminated or (container.get("lastState") or {}).get("terminated") or {}
        return _ended(pod, status, end)
    started = read_time((state.get("running") or {}).get("startedAt"))
    if node and not _answers(node, nodes):
        return Lost(node, started)
    if started is not None:
        leaving = read_time(pod["metadata"].get("deletionTimestamp"))
        return Running(pod["metadata"]["name"], node, str(status.get("podIP") or ""), started, leaving)
    scheduled = _condition(status, "PodScheduled")
    if not node:
        return Unscheduled(str(scheduled.get("message") or "") if scheduled.get("status") == "False" else "")
    since = read_time(scheduled.get("lastTransitionTime")) or read_time(status.get("startTime"))
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    if reason in QUIET_REASONS:
        return Creating(pod["metadata"]["name"], node, since)
    return Refused(node, since, reason, str(waiting.get("message") or reason))


def is_live(pod: Object) -> bool:
    """Whether it holds its node's resources and may write to its volumes."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _ended(pod: Object, status: Mapping[str, Any], end: Mapping[str, Any]) -> Ended:
    code = end.get("exitCode")
    disrupted = _condition(status, "DisruptionTarget").get("status") == "True"
    return Ended(
        exit_code=code,
        reason=str(end.get("reason") or status.get("reason") or ""),
        message=str(end.get("message") or status.get("message") or ""),
        started=read_time(end.get("startedAt")),
        finished=read_time(end.get("finishedAt")),
        interrupted=code == EXIT_CODES[Outcome.INTERRUPTED] or (disrupted and code != 0),
        deleted=bool(pod["metadata"].get("deletionTimestamp")),
    )


def _trainer(status: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Sequence[Mapping[str, Any]] = status.get("containerStatuses") or ()
    return next((container for container in found if container.get("name") == TRAINER_CONTAINER), {})


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found: Sequence[Mapping[str, Any]] = status.get("conditions") or ()
    return next((condition for condition in found if condition.get("type") == kind), {})


def _answers(node: str, nodes: Sequence[Object]) -> bool:
    """Whether the node is Ready. Of a node that is not seen nothing is known, which is no reason for alarm."""
    found = next((each for each in nodes if each["metadata"]["name"] == node), None)
    ready = _condition((found or {}).get("status") or {}, "Ready").get("status")
    return ready in (None, "True")
