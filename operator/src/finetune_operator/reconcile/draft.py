"""A plan in the making: what was seen, what stood in status, and what has been decided so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from finetune_api.inspection import Inspection
from finetune_api.job import FineTuneJob
from finetune_api.names import ATTEMPT_LABEL, JOB_UID_LABEL, attempt_name, inspect_name
from finetune_api.status import (
    Advice,
    Attempt,
    Cost,
    FineTuneJobStatus,
    Metrics,
    Output,
    Phase,
    Progress,
    ResolvedInputs,
    Sizing,
)
from finetune_operator.reconcile.conditions import Conditions
from finetune_operator.reconcile.display import RESTING, at_rest, display
from finetune_operator.reconcile.plan import ChildKind, Event, Object, Observed, Patch, Plan, Poll, Ref
from finetune_operator.settings import Settings


class Step(Enum):
    """What a policy says when it has looked: go on to the next one, or the plan is made."""

    GO_ON = "go on"
    DONE = "done"


@dataclass(slots=True)
class Draft:
    """Policies read what was seen and write what is to be. Nothing of it is seen outside before `plan`."""

    job: FineTuneJob
    seen: Observed
    before: FineTuneJobStatus
    now: datetime
    settings: Settings
    conditions: Conditions
    phase: Phase
    inspection: Inspection | None = None
    sizing: Sizing | None = None
    progress: Progress | None = None
    attempts: list[Attempt] = field(default_factory=list)
    resolved: ResolvedInputs | None = None
    metrics: Metrics | None = None
    outputs: list[Output] | None = None
    cost: Cost | None = None
    advice: list[Advice] | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
    create: list[Object] = field(default_factory=list)
    patch: list[Patch] = field(default_factory=list)
    delete: dict[str, Ref] = field(default_factory=dict)
    delete_job: bool = False
    poll: Poll | None = None
    due: datetime | None = None
    events: list[Event] = field(default_factory=list)

    @classmethod
    def begin(
        cls, job: FineTuneJob, seen: Observed, before: FineTuneJobStatus, *, now: datetime, settings: Settings
    ) -> Draft:
        """Everything as it stands in status."""
        return cls(
            job=job,
            seen=seen,
            before=before,
            now=now,
            settings=settings,
            conditions=Conditions(before.conditions or (), generation=job.metadata.generation, now=now),
            phase=before.phase or "Pending",
            inspection=before.inspection,
            sizing=before.sizing,
            progress=before.progress,
            attempts=list(before.attempts or ()),
            resolved=before.resolved,
            metrics=before.metrics,
            outputs=before.outputs,
            cost=before.cost,
            advice=before.advice,
            start_time=before.start_time,
            completion_time=before.completion_time,
        )

    @property
    def newest(self) -> Attempt | None:
        """The last attempt, ended or not."""
        return self.attempts[-1] if self.attempts else None

    @property
    def live(self) -> Attempt | None:
        """The attempt that has not ended."""
        newest = self.newest
        return newest if newest is not None and newest.finish_time is None else None

    @property
    def begun(self) -> bool:
        """Whether there is an attempt, written down or not."""
        return bool(self.attempts) or bool(self.child_jobs())

    def stood_before(self, attempt: Attempt) -> bool:
        """Whether the attempt's end was in status already when this decision began."""
        ended = {each.number for each in self.before.attempts or () if each.finish_time is not None}
        return attempt.number in ended

    def replace(self, attempt: Attempt, **changes: Any) -> Attempt:
        """Write changes into an attempt's record; returns it as it is now."""
        changed = attempt.model_copy(update=changes)
        self.attempts = [changed if each.number == attempt.number else each for each in self.attempts]
        return changed

    def child_jobs(self) -> dict[int, Object]:
        """This job's Jobs, by the number of their attempt."""
        mine = [child for child in self.seen.jobs if is_child(child, self.job)]
        return {number: child for child in mine if (number := attempt_of(child)) is not None}

    def inspect_job(self) -> Object | None:
        """The Job that reads the inputs, unless it is being deleted."""
        name = inspect_name(self.job.metadata.name)
        mine = (child for child in self.seen.jobs if is_child(child, self.job) and child["metadata"]["name"] == name)
        return next((child for child in mine if not child["metadata"].get("deletionTimestamp")), None)

    def inspect_pods(self) -> list[Object]:
        """Pods of the Job that reads the inputs, oldest first. Only those of the one that is there now."""
        child = self.inspect_job()
        uid = child["metadata"]["uid"] if child is not None else None
        return [pod for pod in self.pods() if attempt_of(pod) is None and uid in owners(pod)]

    def pods(self) -> list[Object]:
        """This job's pods, oldest first: of all attempts, and of the Job that reads the inputs."""
        mine = [pod for pod in self.seen.pods if label(pod, JOB_UID_LABEL) == self.job.metadata.uid]
        return sorted(
            mine, key=lambda pod: (str(pod["metadata"].get("creationTimestamp", "")), pod["metadata"]["name"])
        )

    def pods_of(self, attempt: Attempt) -> list[Object]:
        """The attempt's pods, oldest first."""
        return [pod for pod in self.pods() if attempt_of(pod) == attempt.number]

    def job_name(self, number: int) -> str:
        """Of an attempt's Job."""
        return attempt_name(self.job.metadata.name, number)

    def remove(self, kind: ChildKind, child: Object) -> None:
        """Delete a child, unless it is on its way already."""
        metadata = child["metadata"]
        if not metadata.get("deletionTimestamp"):
            self.delete[metadata["uid"]] = Ref(kind, metadata["name"], metadata["uid"])

    def tell(self, event: Event) -> None:
        """Tell the user."""
        self.events.append(event)

    def again_at(self, when: datetime) -> None:
        """Look again then, or earlier."""
        self.due = when if self.due is None else min(self.due, when)

    def plan(self) -> Plan:
        """What was decided."""
        status = self._status()
        return Plan(
            create=tuple(self.create),
            patch=tuple(self.patch),
            status=None if status == self.seen.job.get("status") else status,
            events=tuple(self.events),
            delete=tuple(self.delete.values()),
            delete_job=self.delete_job,
            poll=self.poll,
            after=max(self.due - self.now, timedelta(seconds=1)) if self.due is not None else None,
        )

    def _status(self) -> dict[str, Any]:
        status = FineTuneJobStatus(
            observed_generation=self.job.metadata.generation,
            phase=self.phase,
            conditions=self.conditions.all(),
            inspection=self.inspection,
            sizing=self.sizing,
            progress=at_rest(self.progress) if self.phase in RESTING else self.progress,
            display=display(self.phase, self.progress, self.cost, self.sizing),
            attempts=self.attempts or None,
            resolved=self.resolved,
            metrics=self.metrics,
            outputs=self.outputs,
            cost=self.cost,
            advice=self.advice,
            start_time=self.start_time,
            completion_time=self.completion_time,
        ).to_json()
        # A part of which nothing is known yet: an empty object would only look like something.
        return {name: part for name, part in status.items() if part != {}}


def label(child: Object, name: str) -> str | None:
    """One label of a child."""
    labels: Mapping[str, str] = child["metadata"].get("labels") or {}
    return labels.get(name)


def attempt_of(child: Object) -> int | None:
    """The attempt that a child is labelled with."""
    number = label(child, ATTEMPT_LABEL)
    return int(number) if number is not None and number.isdigit() else None


def owners(child: Object) -> list[str]:
    """UIDs of what owns it."""
    return [str(owner.get("uid")) for owner in child["metadata"].get("ownerReferences") or ()]


def is_child(child: Object, job: FineTuneJob) -> bool:
    """Whether the job controls it, by UID: an earlier job of the same name may have left children of the same names."""
    owners: Iterable[Mapping[str, Any]] = child["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("uid") == job.metadata.uid for owner in owners)
