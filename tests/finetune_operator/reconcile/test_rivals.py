"""Two jobs with one destination."""

from __future__ import annotations

from typing import Any

import pytest

from tests.finetune_operator.reconcile.cluster import Cluster
from tests.finetune_operator.reconcile.objects import finetune_job

PLACE = {"destinations": [{"pvc": {"claimName": "results", "path": "one"}}]}
ELSEWHERE = {"destinations": [{"pvc": {"claimName": "results", "path": "two"}}]}


def rival(created: str, phase: str, *, uid: str = "uid-0", output: Any = PLACE) -> dict[str, Any]:
    job = finetune_job("rival", uid=uid, output=output)
    job["metadata"]["creationTimestamp"] = created
    job["status"] = {"phase": phase} if phase else {}
    return job


OLDER, SAME, YOUNGER = "2026-01-01T11:00:00Z", "2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z"


@pytest.mark.parametrize(
    ("other", "refused"),
    [
        (rival(OLDER, ""), True),
        (rival(OLDER, "Training"), True),
        (rival(OLDER, "Suspended"), True),
        (rival(OLDER, "Succeeded"), True),
        (rival(OLDER, "Failed"), False),
        (rival(OLDER, "Training", output=ELSEWHERE), False),
        (rival(YOUNGER, ""), False),
        (rival(YOUNGER, "Succeeded"), True),  # its result lies there
        (rival(SAME, "", uid="uid-0"), True),  # of two of one second the smaller UID is the older
        (rival(SAME, "", uid="uid-2"), False),
    ],
)
def test_the_younger_is_refused(other: dict[str, Any], refused: bool) -> None:
    cluster = Cluster(finetune_job(output=PLACE))
    cluster.rivals = [other]
    cluster.reconcile()
    assert (cluster.phase() == "Failed") is refused
    if refused:
        assert cluster.condition("Stalled")["reason"] == "OutputConflict"
        assert "FineTuneJob rival names pvc://results/one too" in cluster.condition("Failed")["message"]
        assert cluster.children == {}


def test_who_has_begun_is_not_asked_again() -> None:
    cluster = Cluster(finetune_job(output=PLACE))
    cluster.reconcile()
    cluster.rivals = [rival(OLDER, "")]
    cluster.settle()
    assert cluster.phase() == "Succeeded"
