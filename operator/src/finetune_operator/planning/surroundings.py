"""What there is to run on: nodes from a file, or a live cluster."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from finetune_operator.sizing.cluster.demand import Demand
from finetune_operator.sizing.cluster.offers import Available, available
from finetune_operator.sizing.cluster.queue import Kueue, queue
from finetune_operator.sizing.cluster.usage import requested
from finetune_operator.sizing.hardware import Table

Object = Mapping[str, Any]


class SurroundingsError(ValueError):
    """They cannot be read; the text says which file, and why."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Objects of a cluster, as kubectl prints them."""

    nodes: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    kueue: Kueue = field(default_factory=Kueue)
    unseen: Sequence[str] = ()
    """What else there is and may not be seen, each with what follows: to be told to the user."""


def of_cluster(cluster: Cluster, wanted: Demand, table: Table, *, queue_name: str | None) -> Available:
    """What its nodes have, less what its pods request; under Kueue, no more than the queue can give."""
    held = None
    if queue_name is not None:
        held = queue(queue_name, kueue=cluster.kueue, wanted=wanted, resources=table.resources)
    return available(cluster.nodes, requested(cluster.pods), wanted, table, queue=held)


def from_file(path: Path) -> Cluster:
    """Nodes, and pods if there are some, in the form of `kubectl get nodes -o yaml` or `-o json`; - is standard input.

    Raises:
        SurroundingsError: it cannot be read, has no node, or an object that is none.
    """
    from finetune_operator.planning.objects import fault  # 20 ms that a plan without nodes can do without

    try:
        text = sys.stdin.buffer.read().decode() if str(path) == "-" else path.read_text(encoding="utf-8")
        is_json = text.lstrip("\ufeff \t\r\n").startswith("{")
        documents = [json.loads(text.lstrip("\ufeff"))] if is_json else list(yaml.load_all(text, Loader=_loader()))
    except OSError as error:
        raise SurroundingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SurroundingsError(f"{path}: is not UTF-8 text: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SurroundingsError(f"{path}: is not YAML or JSON: {' '.join(str(error).split())}") from None
    objects = []
    for each in _objects(documents, path):
        if (wrong := fault(str(each.get("kind")), each)) is not None:
            raise SurroundingsError(f"{path}: {each.get('kind')} {_name(each)}: {wrong}")
        objects.append(each)
    found = of_objects(objects)
    if not found.nodes:
        raise SurroundingsError(f"{path}: has no Node; write it with kubectl get nodes -o yaml")
    return found


def of_objects(objects: Iterable[Object], *, unseen: Sequence[str] = ()) -> Cluster:
    """Sorted by kind; other kinds are passed over."""
    of: defaultdict[str, list[Object]] = defaultdict(list)
    for each in objects:
        of[str(each.get("kind"))].append(each)
    kueue = Kueue(of["LocalQueue"], of["ClusterQueue"], of["ResourceFlavor"], of["Cohort"])
    return Cluster(of["Node"], of["Pod"], kueue, unseen)


def _loader() -> type[Any]:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built


def _objects(documents: Iterable[Any], path: Path) -> Iterable[Object]:
    for number, document in enumerate(documents, start=1):
        if document is None:
            continue
        if not isinstance(document, Mapping):
            raise SurroundingsError(f"{path}: document {number} is no object but {type(document).__name__}")
        kind = str(document.get("kind", ""))
        items = document.get("items") or () if kind.endswith("List") else [document]
        if not isinstance(items, list | tuple):
            raise SurroundingsError(f"{path}: document {number}: items must be a list")
        for item in items:
            if not isinstance(item, Mapping) or not isinstance(item.get("metadata"), Mapping):
                raise SurroundingsError(f"{path}: document {number} holds something that is no object of Kubernetes")
            # in a NodeList, as the API gives it, items do not say what they are
            yield {"kind": kind.removesuffix("List"), **_without_nulls(item)}


def _without_nulls(value: Any) -> Any:
    """Null means as much as nothing in an object of Kubernetes."""
    match value:
        case dict():
            return {key: _without_nulls(each) for key, each in value.items() if each is not None}
        case list():
            return [_without_nulls(each) for each in value]
        case _:
            return value


def _name(item: Object) -> str:
    return str(item["metadata"].get("name", "without a name"))
