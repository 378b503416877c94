"""What a job costs the API server, counted from its audit log."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from e2e.cluster.layout import layout
from e2e.kubectl import Kubectl
from e2e.tests.conftest import PROGRESS_INTERVAL_SECONDS, SYSTEM_NAMESPACE, Finished
from e2e.tests.jobs import told

pytestmark = pytest.mark.cluster
OPERATOR = f"system:serviceaccount:{SYSTEM_NAMESPACE}:finetune-operator"
WRITES = ("create", "update", "patch", "delete", "deletecollection")


def writes_about(name: str, since: float) -> Counter[str]:
    """Verb and resource of the operator's writes in the job's namespace; its Lease is in another."""
    found: Counter[str] = Counter()
    for line in _lines(layout().audit_log, since):
        entry = json.loads(line)
        ref = entry.get("objectRef", {})
        mine = entry["user"]["username"] == OPERATOR and entry["verb"] in WRITES
        at = datetime.fromisoformat(entry["stageTimestamp"]).timestamp()
        if mine and at >= since and ref.get("namespace") != SYSTEM_NAMESPACE and name in _subject(entry):
            found[f"{entry['verb']} {ref['resource']}{'/' + ref['subresource'] if 'subresource' in ref else ''}"] += 1
    return found


def _subject(entry: dict[str, object]) -> str:
    # The audit log has no bodies: an event's and a created object's name stand in the URI or in the answer's reference.
    return json.dumps([entry.get("objectRef"), entry.get("requestURI")])


def _lines(log: Path, since: float) -> list[str]:
    rotated = sorted(log.parent.glob("audit-*.log"))
    return [
        line
        for file in (*rotated, log)
        if file.stat().st_mtime >= since
        for line in file.read_text().splitlines()
        if line.endswith("}")
    ]


def test_writes_of_one_job(kube: Kubectl, plain: Finished) -> None:
    told(kube, "plain", "the result is verified")  # the last of its writes
    found = writes_about("plain", plain.began)
    print(f"{sum(found.values())} writes in {plain.seconds:.0f} s: {dict(found)}")
    assert found["create jobs"] == 2, f"one reads the inputs, one trains: {found}"
    # of these 3 for reading the inputs: a ConfigMap, a Job, and the status that says so
    assert sum(found.values()) <= 15 + plain.seconds / PROGRESS_INTERVAL_SECONDS
    assert plain.job["status"]["inspection"]["rows"] > 0

    # An unchanged job costs nothing: touch it, so that it is reconciled.
    before = time.time()
    kube("annotate", "finetunejob", "plain", f"touched={before:.0f}", "--overwrite")
    time.sleep(5)
    assert not writes_about("plain", before)
    assert plain.job["status"] == (kube.get("finetunejob", "plain") or {})["status"]
