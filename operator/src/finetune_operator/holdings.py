"""What our own jobs hold of the cluster, and what they are about to take, as the store is told of them.

Kept up object by object: a decision about one job must not read all the others. A pod that has a node holds what it
requests. A job that has been sized claims what it was sized for until its pod has a node. What is being written down of
a decision claims already: others are decided meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune_api.conditions import Type
from finetune_api.names import ATTEMPT_LABEL, JOB_UID_LABEL
from finetune_api.status import TERMINAL_PHASES
from finetune_operator.kinds import FINE_TUNE_JOB, POD, Kind
from finetune_operator.reconcile.plan import Key, Object
from finetune_operator.sizing.cluster.claims import Claim
from finetune_operator.sizing.cluster.usage import Usage, requested, together

_PLACING = ("nodeSelector", "tolerations", "affinity")
"""In podTemplate, what keeps a pod from nodes."""
_HELD_UP = ("NoPod", "Refused")
"""Reasons of Admitted: something else than accelerators, such as a quota, keeps it from having a pod."""


@dataclass(frozen=True, slots=True)
class _Claimed:
    since: str
    """When the job was created, as the API server writes it."""
    uid: str
    claim: Claim


@dataclass(frozen=True, slots=True)
class _Held:
    usage: Usage
    job_uid: str | None
    """Of a training pod's job; other pods are of no attempt."""


class Holdings:
    """Who holds what, and who is about to."""

    def __init__(self) -> None:
        self._pods: dict[tuple[str, str], _Held] = {}
        self._claims: dict[Key, _Claimed] = {}
        self._expected: dict[Key, _Claimed | None] = {}

    def put(self, kind: Kind, obj: Object) -> None:
        """Take in an object that the store has taken in."""
        metadata = obj["metadata"]
        place = (str(metadata.get("namespace", "")), str(metadata["name"]))
        if kind == POD and (usage := requested([obj])):
            labels = metadata.get("labels") or {}
            self._pods[place] = _Held(usage, labels.get(JOB_UID_LABEL) if ATTEMPT_LABEL in labels else None)
        elif kind == FINE_TUNE_JOB and (claimed := _claimed(obj)) is not None:
            self._claims[Key(*place)] = claimed

    def drop(self, kind: Kind, place: tuple[str, str]) -> None:
        """The object is gone, or there is another of its name."""
        if kind == POD:
            self._pods.pop(place, None)
        elif kind == FINE_TUNE_JOB:
            self._claims.pop(Key(*place), None)

    def expect(self, key: Key, job: Object | None) -> None:
        """The job as it will be once what was decided has been written; None: the store knows what is."""
        if job is None:
            self._expected.pop(key, None)
        else:
            self._expected[key] = _claimed(job)

    def usage(self) -> Usage:
        """What pods hold that have a node."""
        return together(pod.usage for pod in self._pods.values())

    def claims(self, but: Key) -> list[Claim]:
        """Of the other jobs that have no node yet, oldest first."""
        placed = {pod.job_uid for pod in self._pods.values()}
        found = [
            (claimed.since, key, claimed.claim)
            for key, claimed in {**self._claims, **self._expected}.items()
            if claimed is not None and key != but and claimed.uid not in placed
        ]
        return [claim for _, _, claim in sorted(found, key=lambda each: each[:2])]


def _claimed(job: Object) -> _Claimed | None:
    """None: it is not sized, takes no accelerator, or needs none now."""
    metadata, spec, status = job["metadata"], job.get("spec") or {}, job.get("status") or {}
    sizing: Mapping[str, Any] = status.get("sizing") or {}
    over = status.get("phase") in TERMINAL_PHASES or metadata.get("deletionTimestamp")
    if over or spec.get("suspend") or not sizing.get("count") or _held_up(status):
        return None
    resources, template = spec.get("resources") or {}, spec.get("podTemplate") or {}
    placing = {name: template[name] for name in _PLACING if name in template}
    claim = Claim(
        accelerator=str(sizing["accelerator"]),
        count=int(sizing["count"]),
        cpu=resources.get("cpu"),
        memory=resources.get("memory"),
        host_gib=(sizing.get("host") or {}).get("memoryGiB"),
        spot=resources.get("spot"),
        placement=json.dumps(placing, sort_keys=True),
    )
    return _Claimed(str(metadata.get("creationTimestamp", "")), str(metadata["uid"]), claim)


def _held_up(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions") or ()
    return any(each["type"] == Type.ADMITTED and each.get("reason") in _HELD_UP for each in conditions)
