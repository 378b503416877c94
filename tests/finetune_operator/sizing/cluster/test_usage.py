"""What pods take of a node: the scheduler's rules."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.sizing.cluster.usage import of_pod, requested, together
from tests.finetune_operator.sizing.cluster.objects import container, gpu_pod, pod


@pytest.mark.parametrize(
    ("given", "takes"),
    [
        (pod(container({"cpu": "500m"}), container({"cpu": "1"})), {"cpu": 1.5}),
        # a limit without a request is one
        (pod(container(limits={"nvidia.com/gpu": "2"})), {"nvidia.com/gpu": 2}),
        (pod(container({"cpu": "1"}, {"cpu": "4"})), {"cpu": 1}),
        # init containers run one after the other, before the containers
        (pod(container({"cpu": "2"}), init=[container({"cpu": "1"}), container({"cpu": "3"})]), {"cpu": 3}),
        (pod(container({"cpu": "4"}), init=[container({"cpu": "1"}), container({"cpu": "3"})]), {"cpu": 4}),
        # a sidecar runs beside all that follow it, and not beside what comes before
        (pod(container({"cpu": "2"}), init=[container({"cpu": "1"}, restartPolicy="Always")]), {"cpu": 3}),
        (
            pod(
                container({"cpu": "1"}),
                init=[container({"cpu": "4"}), container({"cpu": "1"}, restartPolicy="Always")],
            ),
            {"cpu": 4},
        ),
        (
            pod(
                container({"cpu": "1"}),
                init=[container({"cpu": "1"}, restartPolicy="Always"), container({"cpu": "4"})],
            ),
            {"cpu": 5},
        ),
        (pod(container({"memory": "1Gi"}), overhead={"memory": "512Mi"}), {"memory": 1.5 * 2**30}),
        (pod(container({"cpu": "1"}), resources={"requests": {"cpu": "3"}}), {"cpu": 3}),
        (pod(container({"memory": "128e6"})), {"memory": 128_000_000}),
    ],
)
def test_of_pod(given: dict[str, Any], takes: dict[str, float]) -> None:
    assert {resource: float(number) for resource, number in of_pod(given["spec"]).items()} == takes


def test_only_pods_that_hold_a_node_count() -> None:
    pods = [
        gpu_pod(2),
        gpu_pod(1, phase="Pending"),
        gpu_pod(4, phase="Succeeded"),
        gpu_pod(4, phase="Failed"),
        gpu_pod(3, on="gpu-2"),
        pod(container(limits={"nvidia.com/gpu": "8"}), on=None, phase="Pending"),
    ]
    used = requested(pods)
    assert {name: int(taken["nvidia.com/gpu"]) for name, taken in used.items()} == {"gpu-1": 3, "gpu-2": 3}


def test_what_two_have_seen_is_added_up() -> None:
    on_two = [gpu_pod(3, on="gpu-2")]
    sum_ = together([requested([gpu_pod(2), *on_two]), requested(on_two)])
    assert sum_ == {"gpu-1": {"nvidia.com/gpu": 2}, "gpu-2": {"nvidia.com/gpu": 6}}
