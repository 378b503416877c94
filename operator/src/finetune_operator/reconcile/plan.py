"""What goes into a decision and what comes out of it. Plain data: no client, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from finetune_api.status import Progress
from finetune_operator.sizing.cluster.usage import Usage
from finetune_operator.sizing.hardware import Table, builtin

# An object as the API server gives or takes it. Hot paths stay on dicts: typed clients are slow.
Object = Mapping[str, Any]
ChildKind = Literal["Job", "ConfigMap", "PersistentVolumeClaim"]


class Key(NamedTuple):
    """A job's place in the queue and the store."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What was last seen of one FineTuneJob and everything that bears on it.

    Children are those with this job's name label in its namespace, of any UID: an earlier job of the same name may
    have left some. `rivals` are the other FineTuneJobs of the namespace that name a destination of this one.
    `refusal` is why the API server would not have this plan's last child (quota, Pod Security, an admission webhook, an
    invalid field): while it stands nothing is created; after a while it is tried again, with none. `hardware` is the
    table of kinds of accelerator as it is now; `usage` what is taken on the nodes that have some, by pods and by other
    jobs that are about to have one, and `awaited` what of each kind others wait for in vain (accelerators of one node,
    of each): both of a job that has not begun.
    """

    job: Object
    jobs: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    claims: Sequence[Object] = ()
    config_maps: Sequence[Object] = ()
    nodes: Sequence[Object] = ()
    rivals: Sequence[Object] = ()
    progress: Progress | None = None
    refusal: str | None = None
    hardware: Table = field(default_factory=builtin)
    usage: Usage = field(default_factory=dict)
    awaited: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ref:
    """One child, precisely: a DELETE carries the UID as a precondition."""

    kind: ChildKind
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Patch:
    """A merge patch of one child, such as a Job's suspend; refused where the UID is another."""

    ref: Ref
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the job. Told again after a crash, it is the same event: its name is derived from what it says."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    # distinguishes events that say the same of different things, such as attempt 1 and 2
    about: str = ""


@dataclass(frozen=True, slots=True)
class Poll:
    """Where rank 0 of a running attempt answers /progress."""

    pod: str
    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything to be done for one job now. Applied in this order: create, patch, status, events, delete.

    Attributes:
        create: whole manifests of children that were not seen; a 409 is settled by whoever applies.
        status: the whole status to have; None leaves it. Not written when equal to what the store shows.
        delete_job: delete the FineTuneJob itself (its time to live is over).
        poll: the trainer whose /progress is worth asking.
        after: look again then, even if nothing happens.
    """

    create: tuple[Object, ...] = ()
    patch: tuple[Patch, ...] = ()
    status: Mapping[str, Any] | None = None
    events: tuple[Event, ...] = ()
    delete: tuple[Ref, ...] = ()
    delete_job: bool = False
    poll: Poll | None = None
    after: timedelta | None = None
