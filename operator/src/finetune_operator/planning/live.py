"""Nodes, pods and queues of a live cluster, as the kubeconfig's user may see them."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from finetune_operator import access
from finetune_operator.client import ApiError, Client, UnreachableError
from finetune_operator.kinds import NODE, POD
from finetune_operator.planning.surroundings import Cluster, Object, SurroundingsError, of_objects

KUEUE = {
    "localqueues": "LocalQueue",
    "clusterqueues": "ClusterQueue",
    "resourceflavors": "ResourceFlavor",
    "cohorts": "Cohort",
}


def from_kubeconfig(path: Path, *, namespace: str) -> Cluster:
    """All nodes, all pods that have one, and the queues of the namespace where there is Kueue.

    Raises:
        SurroundingsError: the cluster cannot be reached, or shows no node.
    """
    if not path.is_file():
        raise SurroundingsError(f"kubeconfig {path}: there is no such file")
    try:
        cluster = asyncio.run(_read(path, namespace))
    except access.AccessError as error:
        raise SurroundingsError(str(error)) from None
    except (ApiError, OSError) as error:  # of what there is to connect with, and UnreachableError
        raise SurroundingsError(f"kubeconfig {path}: {error}") from None
    if not cluster.nodes:
        raise SurroundingsError(f"kubeconfig {path}: the cluster has no node; leave it out to plan without a cluster")
    return cluster


async def _read(path: Path, namespace: str) -> Cluster:
    async with Client(partial(access.read, path), user_agent="finetune-plan") as client:
        objects = await _list(client, NODE.path(), "Node")
        unseen = []
        try:
            objects += await _list(client, POD.path(), "Pod", fieldSelector="spec.nodeName!=")
        except ApiError as error:
            if error.status != 403:
                raise
            unseen.append("you may not list the cluster's pods, so all that its nodes have counts as free")
        for plural, kind in KUEUE.items():
            objects += await _of_kueue(client, plural, kind, namespace)
        return of_objects(objects, unseen=unseen)


async def _list(client: Client, path: str, kind: str, **params: str) -> list[Object]:
    items = (await client.get(path, params=params)).get("items")
    if not isinstance(items, list):
        raise UnreachableError(f"GET {path}: the answer is no list of objects; this is no API server of Kubernetes")
    # items of a list do not say what they are
    return [{**item, "kind": kind} for item in items]


async def _of_kueue(client: Client, plural: str, kind: str, namespace: str) -> list[Object]:
    """Kueue's objects; none where it is not installed, or may not be seen."""
    where = f"namespaces/{namespace}/{plural}" if kind == "LocalQueue" else plural
    for version in ("v1beta2", "v1beta1"):
        try:
            return await _list(client, f"/apis/kueue.x-k8s.io/{version}/{where}", kind)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
    return []
