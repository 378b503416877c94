"""Pretends that the node has GPUs: an extended resource and the labels of GPU feature discovery.

The scheduler counts them and a pod that asks for them starts, without a device. The kubelet leaves resources
that no device plugin made as they are, except when it starts: `up` puts them back then.
"""

import json
from dataclasses import dataclass

from e2e.cluster import api
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import NODE_NAME, Layout

RESOURCE = "nvidia.com/gpu"
LABELS = ("nvidia.com/gpu.product", "nvidia.com/gpu.memory", "nvidia.com/gpu.count")


@dataclass(frozen=True, slots=True)
class Kind:
    """What GPU feature discovery says of a GPU: the product's label and its memory in MiB."""

    product: str
    memory_mib: int


KINDS = {
    "T4": Kind("Tesla-T4", 15360),
    "L4": Kind("NVIDIA-L4", 23034),
    "A10G": Kind("NVIDIA-A10G", 23028),
    "RTX-3090": Kind("NVIDIA-GeForce-RTX-3090", 24576),
    "RTX-4090": Kind("NVIDIA-GeForce-RTX-4090", 24564),
    "L40S": Kind("NVIDIA-L40S", 46068),
    "A100-40GB": Kind("NVIDIA-A100-SXM4-40GB", 40960),
    "A100-80GB": Kind("NVIDIA-A100-SXM4-80GB", 81920),
    "H100-80GB": Kind("NVIDIA-H100-80GB-HBM3", 81559),
    "H200": Kind("NVIDIA-H200", 143771),
}


@dataclass(frozen=True, slots=True)
class Gpus:
    kind: str
    count: int


def parse(text: str) -> Gpus:
    """KIND=N, as the command line has it."""
    kind, _, count = text.partition("=")
    if kind not in KINDS:
        raise ClusterError(f"--gpus {text}: there is no kind {kind!r}; there are {', '.join(KINDS)}")
    if not count.isdigit():
        raise ClusterError(f"--gpus {text}: give it as KIND=N, such as {kind}=4")
    return Gpus(kind, int(count))


def wanted(where: Layout) -> Gpus | None:
    """What was asked for last."""
    path = where.run / "gpus.json"
    return Gpus(**json.loads(path.read_text())) if path.exists() else None


def want(where: Layout, gpus: Gpus) -> None:
    where.run.mkdir(parents=True, exist_ok=True)
    (where.run / "gpus.json").write_text(json.dumps({"kind": gpus.kind, "count": gpus.count}))


def apply(where: Layout) -> None:
    """Gives the node the GPUs that were asked for, unless it has them."""
    gpus = wanted(where)
    if gpus is None:
        return
    if not api.ready(where.kubeconfig):
        raise ClusterError("could not set the node's GPUs: no cluster runs; start it with `python3 -m e2e.cluster up`")
    node = json.loads(api.call(where.kubeconfig, "GET", f"/api/v1/nodes/{NODE_NAME}").body)
    labels = _labels(gpus)
    has = (node["status"]["capacity"].get(RESOURCE), *(node["metadata"]["labels"].get(name) for name in LABELS))
    if has == (str(gpus.count) if gpus.count else None, *(labels[name] for name in LABELS)):
        return
    # None removes: zero GPUs is a node that never had one.
    amount = {RESOURCE: str(gpus.count) if gpus.count else None}
    status = {"status": {"capacity": amount, "allocatable": amount}}
    api.patch(where.kubeconfig, f"/api/v1/nodes/{NODE_NAME}/status", status)
    api.patch(where.kubeconfig, f"/api/v1/nodes/{NODE_NAME}", {"metadata": {"labels": labels}})


def _labels(gpus: Gpus) -> dict[str, str | None]:
    kind = KINDS[gpus.kind]
    values = (kind.product, str(kind.memory_mib), str(gpus.count)) if gpus.count else (None, None, None)
    return dict(zip(LABELS, values, strict=True))
