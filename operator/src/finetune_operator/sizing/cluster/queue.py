"""The Kueue queue that holds a job: where its flavours let pods go, and how many accelerators it can give in each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from finetune_operator.sizing.cluster.demand import Demand, repels, tolerated
from finetune_operator.sizing.cluster.offer import UNBOUNDED, Share
from finetune_operator.sizing.cluster.quota import Quota, groups, peers_of, pool_of, quota, stopped

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kueue:
    """Kueue's objects, as the API gives them in v1beta1 and in v1beta2."""

    local_queues: Sequence[Object] = ()
    """Of the job's namespace."""
    cluster_queues: Sequence[Object] = ()
    flavors: Sequence[Object] = ()
    cohorts: Sequence[Object] = ()


@dataclass(frozen=True, slots=True)
class Flavor:
    """One way for a queue to give a resource."""

    name: str
    labels: Mapping[str, str]
    """That its nodes have: Kueue adds them to the pod's node selector."""
    tolerations: Sequence[Object]
    """That Kueue adds to the pod."""
    quota: Quota
    lacks: str | None = None
    """What else of the pod it can never give."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of one job."""

    said: str
    """As messages call it."""
    problem: str | None = None
    """Why it admits nothing now; None: it does."""
    flavors: Mapping[str, tuple[Flavor, ...]] = field(default_factory=dict)
    """Of each resource that it covers."""
    known: bool = True
    """Whether its quota is."""

    def shares(self, resource: str) -> list[tuple[Flavor | None, Share]]:
        """What it can give of `resource`; one share of nothing where it has none, which says so."""
        flavors = self.flavors.get(resource, ())
        if not self.known:
            return [(None, Share(self.said, UNBOUNDED, 0, problem=self.problem))]
        if not flavors:
            return [(None, Share(self.said, 0, 0, f"no flavour of it has {resource} for such a pod"))]
        return [(flavor, self._share(flavor)) for flavor in flavors]

    def _share(self, flavor: Flavor) -> Share:
        ceiling = 0 if flavor.lacks else int(flavor.quota.ceiling)
        free = 0 if self.problem or flavor.lacks else int(flavor.quota.free)
        reasons = [f"flavour {flavor.name}", str(flavor.quota), flavor.lacks]
        return Share(self.said, ceiling, free, ", ".join(reason for reason in reasons if reason), self.problem)


def queue(name: str, *, kueue: Kueue, wanted: Demand, resources: Iterable[str]) -> Queue:
    """What the LocalQueue `name` can give of `resources` to a pod with these wants.

    A queue that is not there, or that is stopped, may come or go on: the job would wait, and messages say for what.
    """
    said = f"queue {name}"
    local = _find(name, kueue.local_queues)
    if local is None:
        return Queue(said, "there is no such LocalQueue in the job's namespace", known=False)
    cluster_name = str(local["spec"]["clusterQueue"])
    said = f"queue {name} (ClusterQueue {cluster_name})"
    cluster = _find(cluster_name, kueue.cluster_queues)
    if cluster is None:
        return Queue(said, "there is no such ClusterQueue", known=False)
    why = stopped(local) or stopped(cluster)
    flavors = {resource: tuple(_flavors(cluster, kueue, wanted, resource)) for resource in resources}
    return Queue(said, f"it admits nothing: {why}" if why else None, flavors)


def _flavors(cluster: Object, kueue: Kueue, wanted: Demand, resource: str) -> Iterable[Flavor]:
    peers = peers_of(cluster, kueue.cluster_queues)
    for covered, names in groups(cluster):
        if resource not in covered:
            continue
        for name in names:
            found = _find(name, kueue.flavors)
            spec = (found or {}).get("spec") or {}
            if found is None or not _admits(spec, wanted):
                continue

            def of(each: str, flavor: str = name) -> Quota:
                pool = pool_of(cluster, kueue.cohorts, flavor=flavor, resource=each)
                return quota(cluster, peers, flavor=flavor, resource=each, pool=pool)

            # all that a flavour's group covers is given in that flavour
            beside = {each: of(each) for each in wanted.requests if each in covered}
            yield Flavor(
                name, spec.get("nodeLabels") or {}, spec.get("tolerations") or (), of(resource), _lacks(beside, wanted)
            )


def _admits(spec: Object, wanted: Demand) -> bool:
    labels = spec.get("nodeLabels") or {}
    if any(labels.get(key, value) != value for key, value in wanted.node_selector.items()):
        return False
    allowed = (*wanted.tolerations, *(spec.get("tolerations") or ()))
    return all(tolerated(taint, allowed) for taint in spec.get("nodeTaints") or () if repels(taint))


def _lacks(quotas: Mapping[str, Quota], wanted: Demand) -> str | None:
    for resource, found in quotas.items():
        if found.ceiling < wanted.requests[resource]:
            asked = _shown(wanted.requests[resource])
            return f"its {resource} can never be more than {_shown(found.ceiling)}, and {asked} is asked for"
    return None


def _shown(number: Decimal) -> str:
    return f"{float(number) / 2**30:.1f}Gi" if number >= 2**20 else f"{float(number):g}"


def _find(name: str, objects: Iterable[Object]) -> Object | None:
    return next((each for each in objects if each["metadata"]["name"] == name), None)
