"""What there is to run on: the whole hardware table, nodes from a file, or a live cluster."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from finetune_operator.sizing.cluster.demand import Demand
from finetune_operator.sizing.cluster.offers import Available, available, of_whole_table
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


def of_table(table: Table) -> Available:
    """Where nobody says what there is: everything that is sold."""
    return of_whole_table(table)


def of_cluster(cluster: Cluster, wanted: Demand, table: Table, *, queue_name: str | None) -> Available:
    """What its nodes have, less what its pods request; under Kueue, no more than the queue can give."""
    held = None
    if queue_name is not None:
        held = queue(queue_name, kueue=cluster.kueue, wanted=wanted, resources=table.resources)
    return available(cluster.nodes, requested(cluster.pods), wanted, table, queue=held)


def from_file(path: Path) -> Cluster:
    """Nodes, and pods if there are some, in the form of `kubectl get nodes -o yaml` or `-o json`.

    Raises:
        SurroundingsError: it cannot be read, or has no node.
    """
    try:
        text = path.read_text(encoding="utf-8")
        documents = [json.loads(text)] if path.suffix == ".json" else list(yaml.load_all(text, Loader=_loader()))
    except (OSError, UnicodeDecodeError) as error:
        raise SurroundingsError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SurroundingsError(f"{path}: is not YAML or JSON: {' '.join(str(error).split())}") from None
    objects = list(_objects(documents, path))
    found = of_objects(objects)
    if not found.nodes:
        raise SurroundingsError(f"{path}: has no Node; write it with kubectl get nodes -o yaml")
    return found


def of_objects(objects: Iterable[Object]) -> Cluster:
    """Sorted by kind; other kinds are passed over."""
    of: defaultdict[str, list[Object]] = defaultdict(list)
    for each in objects:
        of[str(each.get("kind"))].append(each)
    kueue = Kueue(of["LocalQueue"], of["ClusterQueue"], of["ResourceFlavor"], of["Cohort"])
    return Cluster(of["Node"], of["Pod"], kueue)


def _loader() -> type[Any]:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built


def _objects(documents: Iterable[Any], path: Path) -> Iterable[Object]:
    for number, document in enumerate(documents, start=1):
        if document is None:
            continue
        if not isinstance(document, Mapping):
            raise SurroundingsError(f"{path}: document {number} is no object but {type(document).__name__}")
        items = document.get("items") if str(document.get("kind", "")).endswith("List") else [document]
        for item in items or ():
            if not isinstance(item, Mapping) or not isinstance(item.get("metadata"), Mapping):
                raise SurroundingsError(f"{path}: document {number} holds something that is no object of Kubernetes")
            yield item
