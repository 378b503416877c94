"""Nodes and pods of a live cluster, as the kubeconfig's user may see them."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from finetune_operator import access
from finetune_operator.client import ApiError, Client, UnreachableError
from finetune_operator.kinds import NODE, POD
from finetune_operator.planning.surroundings import Cluster, SurroundingsError


def from_kubeconfig(path: Path) -> Cluster:
    """All nodes, and all pods that have one.

    Raises:
        SurroundingsError: the cluster cannot be reached, or its nodes may not be listed.
    """
    try:
        return asyncio.run(_read(path))
    except (access.AccessError, ApiError, UnreachableError) as error:
        raise SurroundingsError(f"{path}: {error}") from None


async def _read(path: Path) -> Cluster:
    async with Client(partial(access.read, path), user_agent="finetune-plan") as client:
        nodes = (await client.get(NODE.path()))["items"]
        try:
            pods = (await client.get(POD.path(), params={"fieldSelector": "spec.nodeName!="}))["items"]
        except ApiError as error:
            if error.status != 403:
                raise
            pods = []  # then all counts as free
        return Cluster(nodes=nodes, pods=pods)
