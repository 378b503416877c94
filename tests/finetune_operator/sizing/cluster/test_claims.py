"""Who has been sized and has no node yet takes the first node of its kind that has room."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.sizing.cluster.claims import Claim, with_claims
from finetune_operator.sizing.cluster.usage import requested
from finetune_operator.sizing.hardware import builtin
from tests.finetune_operator.sizing.cluster.objects import Object, gpu_pod, node

TABLE = builtin()
L4 = [node("a", gpus=4), node("b", gpus=4)]
A100 = node("c", "NVIDIA-A100-SXM4-80GB", gpus=8)
TAINT = {"key": "dedicated", "value": "team-b", "effect": "NoSchedule"}
SPOT = {"cloud.google.com/gke-spot": "true"}


def taken(nodes: list[Object], pods: list[Object], claims: list[Claim]) -> dict[str, int]:
    """GPUs of each node."""
    usage = with_claims(nodes, requested(pods), claims, TABLE, cpu="1", memory="4Gi").usage
    return {name: int(amounts.get("nvidia.com/gpu", 0)) for name, amounts in usage.items()}


def placed(**where: Any) -> str:
    return json.dumps(where)


@pytest.mark.parametrize(
    ("nodes", "claims", "there"),
    [
        ([*L4, A100], [], {}),
        ([*L4, A100], [Claim("L4", 1)], {"a": 1}),
        ([*L4, A100], [Claim("A100-80GB", 1)], {"c": 1}),
        ([*L4, A100], [Claim("L4", 4), Claim("L4", 1)], {"a": 4, "b": 1}),
        ([*L4, A100], [Claim("L4", 3), Claim("L4", 2), Claim("L4", 1)], {"a": 4, "b": 2}),  # in their order
        ([*L4, A100], [Claim("L4", 8), Claim("L4", 1)], {"a": 1}),  # no node has eight: it holds nobody up
        ([*L4, A100], [Claim("L4", 4)] * 3, {"a": 4, "b": 4}),  # the third waits
        ([*L4, A100], [Claim("H100-80GB", 1), Claim("of an older table", 1)], {}),
        ([node("a", gpus=4, cordoned=True), L4[1]], [Claim("L4", 1)], {"b": 1}),
        ([node("a", gpus=4, ready=False), L4[1]], [Claim("L4", 1)], {"b": 1}),
        ([node("a", gpus=4, taints=[TAINT]), L4[1]], [Claim("L4", 1)], {"b": 1}),
        (
            [node("a", gpus=4, taints=[TAINT]), L4[1]],
            [Claim("L4", 1, placement=placed(tolerations=[{"key": "dedicated", "operator": "Exists"}]))],
            {"a": 1},
        ),
        (
            [L4[0], node("b", gpus=4, labels={"zone": "b"})],
            [Claim("L4", 1, placement=placed(nodeSelector={"zone": "b"})), Claim("L4", 1)],
            {"b": 1, "a": 1},
        ),
        ([node("a", gpus=4, labels=SPOT), L4[1]], [Claim("L4", 1, spot=False)], {"b": 1}),
        # a node of 62 GiB and 15.9 cores: what beside the GPU is asked for counts too
        (L4, [Claim("L4", 1, memory="40Gi")] * 3, {"a": 1, "b": 1}),
        (L4, [Claim("L4", 1, host_gib=40)] * 3, {"a": 1, "b": 1}),
        (L4, [Claim("L4", 1, cpu="10")] * 3, {"a": 1, "b": 1}),
        (L4, [Claim("L4", 1)] * 3, {"a": 3}),
        ([node("a", product="NVIDIA-Z9000")], [Claim("nvidia-gpu", 2)], {"a": 2}),
        (L4, [Claim("cpu", 1)], {}),
        (L4, [Claim("L4", 1, placement=placed(tolerations="all")), Claim("L4", 1)], {"a": 1}),
    ],
)
def test_the_first_node_with_room(nodes: list[Object], claims: list[Claim], there: dict[str, int]) -> None:
    assert taken(nodes, [], claims) == there


def test_what_pods_hold_comes_first() -> None:
    assert taken(L4, [gpu_pod(3, on="a"), gpu_pod(9, on="gone")], [Claim("L4", 2)]) == {"a": 3, "gone": 9, "b": 2}


def test_who_finds_no_room_is_told_of() -> None:
    claims = [Claim("L4", 8), Claim("l4", 4), Claim("L4", 4), Claim("L4", 1), Claim("T4", 2)]
    found = with_claims(L4, {}, claims, TABLE, cpu="1", memory="4Gi")
    assert found.awaited == {"L4": [8, 1], "T4": [2]}


@given(
    held=st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["a", "b", "c"])), max_size=4),
    counts=st.lists(st.sampled_from([1, 2, 4, 8]), max_size=12),
)
def test_nothing_is_promised_twice_and_nothing_kept_back(held: list[tuple[int, str]], counts: list[int]) -> None:
    nodes, pods = [*L4, A100], [gpu_pod(gpus, on=name) for gpus, name in held]
    before = {"a": 0, "b": 0, "c": 0} | taken(nodes, pods, [])
    after = before | taken(nodes, pods, [Claim("L4", count) for count in counts])
    assert after["c"] == before["c"]
    free = {name: max(0, 4 - before[name]) for name in "ab"}
    left = {name: free[name] - (after[name] - before[name]) for name in "ab"}
    assert all(0 <= left[name] <= free[name] for name in "ab")
    promised = sum(free.values()) - sum(left.values())
    if promised < sum(counts):  # somebody was left out: of nobody's size there is room
        assert max(left.values()) < max(counts)
    if set(counts) == {1}:
        assert promised == min(len(counts), sum(free.values()))
