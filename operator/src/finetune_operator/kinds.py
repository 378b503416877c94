"""The kinds that the operator watches, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from finetune_api import API_VERSION, KIND, PLURAL
from finetune_api.names import MANAGED_BY, MANAGED_BY_LABEL

# Of all Jobs, Pods and the rest of a cluster, only what the operator made is worth its memory.
MANAGED_SELECTOR = f"{MANAGED_BY_LABEL}={MANAGED_BY}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource of the API server."""

    name: str
    api_version: str
    plural: str
    namespaced: bool = True
    selector: str = ""

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """Such as v1."""
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str | None = None, name: str | None = None, *, subresource: str | None = None) -> str:
        """URL path of one object, or of all in a namespace or, without one, in the cluster."""
        parts = ["apis" if self.group else "api", self.api_version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(parts)


FINE_TUNE_JOB = Kind(KIND, API_VERSION, PLURAL)
JOB = Kind("Job", "batch/v1", "jobs", selector=MANAGED_SELECTOR)
POD = Kind("Pod", "v1", "pods", selector=MANAGED_SELECTOR)
CONFIG_MAP = Kind("ConfigMap", "v1", "configmaps", selector=MANAGED_SELECTOR)
CLAIM = Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims", selector=MANAGED_SELECTOR)
NODE = Kind("Node", "v1", "nodes", namespaced=False)

WATCHED = (FINE_TUNE_JOB, JOB, POD, CONFIG_MAP, CLAIM, NODE)
CHILDREN = {kind.name: kind for kind in (JOB, CONFIG_MAP, CLAIM)}

# Written and never watched.
EVENT = Kind("Event", "events.k8s.io/v1", "events")
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")
