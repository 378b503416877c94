"""What was last seen of every object, by job.

Objects are held as JSON text: as dictionaries they take about six times the memory, and all but a few of them are
only looked at when something happens to their job.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_api.names import JOB_NAME_LABEL
from finetune_api.status import Progress
from finetune_operator.destinations import destinations
from finetune_operator.holdings import Holdings
from finetune_operator.kinds import CLAIM, CONFIG_MAP, FINE_TUNE_JOB, JOB, NODE, POD, WATCHED, Kind
from finetune_operator.reconcile.plan import Key, Observed
from finetune_operator.sizing.hardware import Table, builtin
from finetune_operator.trim import trim

# A watch may tell of an object after its deletion was answered; UIDs never come back, so remembering some is enough.
REMEMBERED_GONE = 10_000

Place = tuple[str, str]  # namespace (empty for nodes) and name


@dataclass(slots=True)
class Entry:
    """One object. `version` is its resourceVersion, `text` the rest of it as JSON."""

    kind: Kind
    place: Place
    uid: str
    version: str
    key: Key | None
    text: bytes

    def read(self) -> dict[str, Any]:
        """A new copy of the object."""
        found: dict[str, Any] = json.loads(self.text)
        return found


class Store:
    """Filled by the watch and by the answers to our own writes; whichever is newer wins."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[Place, Entry]] = {kind.name: {} for kind in WATCHED}
        self._children: dict[Key, dict[tuple[str, str], Entry]] = {}
        self._writers: dict[tuple[str, str], set[Key]] = {}  # namespace and destination -> the jobs that name it
        self._progress: dict[Key, tuple[str, Progress]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._nodes: tuple[dict[str, Any], ...] | None = None
        self.hardware: Table = builtin()
        """The kinds of accelerator, as every decision from now on sees them."""
        self.holdings = Holdings()
        """What the jobs hold of the nodes, for decisions about what is free."""

    def put(self, kind: Kind, obj: Mapping[str, Any]) -> bool:
        """Take in an object as the API server tells of it. False: nothing that decisions read has changed."""
        metadata = obj["metadata"]
        place, uid, version = place_of(obj), str(metadata["uid"]), str(metadata["resourceVersion"])
        if uid in self._gone:
            return False
        old = self._entries[kind.name].get(place)
        if old is not None and older(version, old.version):
            return False
        text = json.dumps(trim(kind, obj), separators=(",", ":"), ensure_ascii=False).encode()
        if old is not None and old.uid == uid and old.text == text:
            old.version = version
            return False
        if old is not None:
            self._drop(old)
        entry = Entry(kind, place, uid, version, key_of(kind, obj), text)
        self._entries[kind.name][place] = entry
        self._index(entry, obj)
        return True

    def remove(self, kind: Kind, place: Place, uid: str) -> bool:
        """The object is gone. False: it was not here."""
        self._gone[uid] = None
        if len(self._gone) > REMEMBERED_GONE:
            self._gone.popitem(last=False)
        entry = self._entries[kind.name].get(place)
        if entry is None or entry.uid != uid:
            return False
        self._drop(entry)
        return True

    def entry(self, kind: Kind, place: Place) -> Entry | None:
        """What is held of one object."""
        return self._entries[kind.name].get(place)

    def knows(self, kind: Kind, place: Place, uid: str) -> bool:
        """Whether the object was seen: it is here, or another of its name, or it is known to be gone."""
        entry = self._entries[kind.name].get(place)
        return uid in self._gone or entry is not None

    def entries(self, kind: Kind) -> list[Entry]:
        """What is held of a kind."""
        return list(self._entries[kind.name].values())

    def count(self, kind: Kind) -> int:
        """Objects of a kind."""
        return len(self._entries[kind.name])

    def observe(self, key: Key) -> Observed | None:
        """Everything that bears on one job; None: there is no such job."""
        entry = self._entries[FINE_TUNE_JOB.name].get((key.namespace, key.name))
        if entry is None:
            return None
        children = sorted(self._children.get(key, {}).values(), key=lambda child: child.place)
        uid, progress = self._progress.get(key, ("", None))
        job = entry.read()
        return Observed(
            job=job,
            jobs=_read(children, JOB),
            pods=_read(children, POD),
            claims=_read(children, CLAIM),
            config_maps=_read(children, CONFIG_MAP),
            nodes=self._read_nodes(),
            rivals=tuple(self._read_job(rival) for rival in sorted(self.rivals(key, job))),
            progress=progress if uid == entry.uid else None,
            hardware=self.hardware,
        )

    def jobs_on(self, node: str) -> set[Key]:
        """The jobs that have a pod on the node. Nodes change rarely: every pod is looked at."""
        mark = f'"nodeName":{json.dumps(node)}'.encode()
        return {pod.key for pod in self._entries[POD.name].values() if pod.key is not None and mark in pod.text}

    def nodes_with_accelerators(self) -> list[str]:
        """Names of the nodes that have a resource of the hardware table."""
        resources = self.hardware.resources
        return [
            str(node["metadata"]["name"])
            for node in self._read_nodes()
            if any(str(node["status"].get("allocatable", {}).get(name, "0")) != "0" for name in resources)
        ]

    def rivals(self, key: Key, job: Mapping[str, Any]) -> set[Key]:
        """The other jobs of the namespace that write to a destination of this one."""
        found: set[Key] = set()
        for destination in destinations(job):
            found |= self._writers.get((key.namespace, destination), set())
        return found - {key}

    def set_progress(self, key: Key, uid: str, progress: Progress) -> bool:
        """Keep what a trainer told of itself. False: it is what it told before."""
        if self._progress.get(key) == (uid, progress):
            return False
        self._progress[key] = (uid, progress)
        return True

    def jobs(self) -> Iterator[dict[str, Any]]:
        """All FineTuneJobs, one at a time."""
        for entry in self.entries(FINE_TUNE_JOB):
            yield entry.read()

    def job_keys(self) -> list[Key]:
        """All jobs."""
        return [Key(*place) for place in self._entries[FINE_TUNE_JOB.name]]

    def _read_job(self, key: Key) -> dict[str, Any]:
        return self._entries[FINE_TUNE_JOB.name][(key.namespace, key.name)].read()

    def _read_nodes(self) -> tuple[dict[str, Any], ...]:
        # Read by every decision and changed by few events, so it is worth keeping.
        if self._nodes is None:
            entries = sorted(self._entries[NODE.name].values(), key=lambda entry: entry.place)
            self._nodes = tuple(entry.read() for entry in entries)
        return self._nodes

    def _index(self, entry: Entry, obj: Mapping[str, Any]) -> None:
        self.holdings.put(entry.kind, obj)
        if entry.kind == NODE:
            self._nodes = None
        elif entry.kind == FINE_TUNE_JOB:
            for destination in destinations(obj):
                self._writers.setdefault((entry.place[0], destination), set()).add(Key(*entry.place))
        elif entry.key is not None:
            self._children.setdefault(entry.key, {})[(entry.kind.name, entry.place[1])] = entry

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.kind.name][entry.place]
        self.holdings.drop(entry.kind, entry.place)
        if entry.kind == NODE:
            self._nodes = None
        elif entry.kind == FINE_TUNE_JOB:
            key = Key(*entry.place)
            for destination in destinations(entry.read()):
                writers = self._writers.get((key.namespace, destination), set())
                writers.discard(key)
                if not writers:
                    self._writers.pop((key.namespace, destination), None)
            progress = self._progress.get(key)
            if progress is not None and progress[0] == entry.uid and entry.uid in self._gone:
                del self._progress[key]
        elif entry.key is not None:
            children = self._children[entry.key]
            children.pop((entry.kind.name, entry.place[1]), None)
            if not children:
                del self._children[entry.key]


def _read(entries: list[Entry], kind: Kind) -> tuple[dict[str, Any], ...]:
    return tuple(entry.read() for entry in entries if entry.kind == kind)


def place_of(obj: Mapping[str, Any]) -> Place:
    """Namespace (empty for cluster-scoped objects) and name."""
    metadata = obj["metadata"]
    return str(metadata.get("namespace", "")), str(metadata["name"])


def key_of(kind: Kind, obj: Mapping[str, Any]) -> Key | None:
    """The job that an object belongs to, or is."""
    namespace, name = place_of(obj)
    if kind == FINE_TUNE_JOB:
        return Key(namespace, name)
    owner = obj["metadata"].get("labels", {}).get(JOB_NAME_LABEL)
    return Key(namespace, owner) if owner else None


def older(version: str, than: str) -> bool:
    """Whether a resourceVersion is an earlier one. They count up, in every API server that stores in etcd."""
    return version.isdigit() and than.isdigit() and int(version) < int(than)
