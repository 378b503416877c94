"""Everything a stranger gets wrong: a clear sentence, no pod where it can be known before, and no GPU held."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from e2e.kubectl import Kubectl, condition
from e2e.tests.conftest import Inputs
from e2e.tests.hub import fake_hub
from e2e.tests.jobs import (
    all_pods,
    at_step,
    finetune_job,
    finished,
    gone,
    merged,
    operator_pod,
    phase,
    submit,
    succeeded,
    told,
)

pytestmark = pytest.mark.cluster


WRONG_INPUTS: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("no-model", {"model": {"source": "pvc://inputs/nothing-here"}}, "NotFound", ["inputs/nothing-here"]),
    ("no-data", {"dataset": {"train": {"source": "pvc://inputs/none.jsonl"}}}, "NotFound", ["none.jsonl"]),
    ("broken-line", {"dataset": {"train": {"source": "pvc://inputs/broken.jsonl"}}}, "BadData", ["line 7"]),
    ("no-rows", {"dataset": {"train": {"source": "pvc://inputs/empty.jsonl"}}}, "BadData", ["empty.jsonl"]),
    ("mixed", {"dataset": {"train": {"source": "pvc://inputs/mixed.jsonl"}}}, "BadData", ["row 5", "one format"]),
]


@pytest.fixture(scope="module")
def wrong_inputs(kube: Kubectl, inputs: Inputs) -> None:
    """All at once: their pods spend most of their time in starting."""
    for name, changes, _, _ in WRONG_INPUTS:
        submit(kube, finetune_job(name, **changes))


@pytest.mark.parametrize(("name", "changes", "reason", "says"), WRONG_INPUTS)
def test_what_is_found_in_the_inputs_before_a_gpu_is_taken(
    kube: Kubectl, wrong_inputs: None, name: str, changes: dict[str, Any], reason: str, says: list[str]
) -> None:
    job = finished(kube, name)
    failed = condition(job, "Failed")
    assert phase(job) == "Failed"
    assert failed["reason"] == reason
    for words in says:
        assert words in failed["message"]
    assert condition(job, "Stalled")["status"] == "True"
    assert condition(job, "Sized")["status"] == "False"
    assert "attempts" not in job["status"]
    assert len(all_pods(kube, name)) == 1, "trying again cannot help"
    assert kube.get("persistentvolumeclaim", f"{name}-work") is None
    told(kube, name, failed["message"][:60])


@pytest.mark.parametrize(
    ("repository", "status", "reason", "says"),
    [
        ("org/missing", 404, "NotFound", ["org/missing"]),
        ("org/gated", 403, "Permission", ["org/gated", "spec.model.tokenSecretRef"]),
    ],
)
def test_models_that_the_hub_does_not_give(
    kube: Kubectl, inputs: Inputs, hub_address: str, repository: str, status: int, reason: str, says: list[str]
) -> None:
    with fake_hub(hub_address, {repository: status}) as endpoint:
        name = f"hub-{status}"
        changes = {
            "model": {"source": f"hf://{repository}"},
            "podTemplate": {"env": [{"name": "HF_ENDPOINT", "value": endpoint}]},
        }
        submit(kube, finetune_job(name, **changes))
        job = finished(kube, name)
    assert condition(job, "Failed")["reason"] == reason
    for words in says:
        assert words in condition(job, "Failed")["message"]
    assert "attempts" not in job["status"]


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("unsupported", {"evaluation": {"metrics": ["f1"]}}, "spec.evaluation"),
        ("no-such-gpu", {"resources": {"accelerator": "H9000"}}, "H9000"),
        ("local-file", {"model": {"source": "file:///tmp/model"}}, "finetune run"),
    ],
)
def test_what_the_operator_refuses_before_any_pod(
    kube: Kubectl, inputs: Inputs, name: str, changes: dict[str, Any], says: str
) -> None:
    submit(kube, finetune_job(name, **changes))
    job = finished(kube, name, seconds=60)
    assert says in condition(job, "Failed")["message"]
    assert condition(job, "Stalled")["status"] == "True"
    assert all_pods(kube, name) == []
    assert kube.get("persistentvolumeclaim", f"{name}-work") is None
    told(kube, name, says)


def waiting(kube: Kubectl, name: str, words: str) -> None:
    """Wait until a condition says so."""

    def said(job: dict[str, Any]) -> bool:
        return any(words in c.get("message", "") for c in job.get("status", {}).get("conditions", []))

    kube.until("finetunejob", name, said, seconds=120)


NO_SECRET = {"source": "hf://org/gated", "tokenSecretRef": {"name": "no-such-secret", "key": "token"}}


@pytest.fixture(scope="module")
def never_started(kube: Kubectl, inputs: Inputs) -> None:
    """Both at once, for each has the whole start deadline."""
    submit(kube, finetune_job("no-secret", model=NO_SECRET))
    submit(kube, finetune_job("no-image", image="localhost:5000/no/such-image:1"))


@pytest.mark.parametrize(
    ("name", "says"), [("no-secret", 'secret "no-such-secret" not found'), ("no-image", "no/such-image")]
)
def test_what_keeps_a_container_from_starting_is_said_before_a_gpu_is_taken(
    kube: Kubectl, never_started: None, name: str, says: str
) -> None:
    waiting(kube, name, says)
    job = finished(kube, name)
    assert says in condition(job, "Failed")["message"]
    assert "attempts" not in job["status"]
    gone_pods(kube, name)


def gone_pods(kube: Kubectl, name: str) -> None:
    """No pod of the job holds anything any more."""
    end = time.monotonic() + 60
    while live := [p for p in all_pods(kube, name) if p["status"]["phase"] in ("Pending", "Running")]:
        assert time.monotonic() < end, f"still there: {[p['metadata']['name'] for p in live]}"
        time.sleep(0.5)


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("no-node", {"podTemplate": {"nodeSelector": {"no-such": "node"}}}, "node affinity/selector"),
        ("no-claim", {"dataset": {"train": {"source": "pvc://no-such-claim/x.jsonl"}}}, '"no-such-claim" not found'),
    ],
)
def test_the_schedulers_sentence_stands_in_the_condition(
    kube: Kubectl, inputs: Inputs, name: str, changes: dict[str, Any], says: str
) -> None:
    submit(kube, finetune_job(name, **changes))
    waiting(kube, name, says)
    job = kube.get("finetunejob", name)
    assert job is not None
    assert phase(job) in ("Pending", "Queued", "Starting")
    kube.delete("finetunejob", name)
    gone(kube, name)


def test_a_running_job_cannot_be_edited_and_leaves_nothing_when_deleted(
    kube: Kubectl, system: Kubectl, inputs: Inputs
) -> None:
    job = finetune_job("edited")
    submit(kube, job)
    at_step(kube, "edited", 1)
    refused = kube.run("patch", "finetunejob", "edited", "--type=merge", "-p", '{"spec":{"training":{"epochs":1}}}')
    assert refused.returncode != 0
    assert "spec.training" in refused.stderr
    added = kube.run("patch", "finetunejob", "edited", "--type=merge", "-p", '{"spec":{"image":"other"}}')
    assert added.returncode != 0
    removed = kube.run("patch", "finetunejob", "edited", "--type=merge", "-p", '{"spec":{"adapter":null}}')
    assert removed.returncode != 0

    # deleted, and at once created again
    first = kube.get("finetunejob", "edited") or {}
    kube.delete("finetunejob", "edited")
    kube("create", "-f", "-", stdin=json.dumps(merged(job, {"spec": {"training": {"maxSteps": 20}}})))
    second = succeeded(kube, "edited")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert len(second["status"]["attempts"]) == 1
    assert "resumedFromStep" not in second["status"]["attempts"][0]

    assert 'name="edited"' in metrics(system)
    kube.delete("finetunejob", "edited")
    gone(kube, "edited")
    end = time.monotonic() + 60
    while 'name="edited"' in metrics(system):
        assert time.monotonic() < end, "the series of a job that is gone"
        time.sleep(0.5)


def metrics(system: Kubectl) -> str:
    """The operator's /metrics."""
    metadata = operator_pod(system)["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    return system("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/{name}:8080/proxy/metrics")


def test_two_jobs_with_one_output(kube: Kubectl, inputs: Inputs) -> None:
    path = f"results/{time.time_ns()}"  # what an earlier run wrote stays on the claim, and is never overwritten
    output = {"destinations": [{"pvc": {"claimName": "inputs", "path": path}}]}
    submit(kube, finetune_job("first-writer", output=output, training={"maxSteps": 20}))
    time.sleep(1)  # creation is stamped in whole seconds, and of two of one second either may be the older
    submit(kube, finetune_job("second-writer", output=output, training={"maxSteps": 20}))
    second = finished(kube, "second-writer", seconds=30)
    assert phase(second) == "Failed"
    assert "first-writer" in condition(second, "Failed")["message"]
    assert all_pods(kube, "second-writer") == []
    first = succeeded(kube, "first-writer")
    assert [o["uri"] for o in first["status"]["outputs"]] == [
        "pvc://first-writer-work/output",
        f"pvc://inputs/{path}",
    ]


@pytest.mark.parametrize(
    ("changes", "metadata", "says"),
    [
        ({"training": {"learningRate": "fast"}}, {}, "spec.training.learningRate"),
        ({"trainning": {}}, {}, 'unknown field "spec.trainning"'),
        ({}, {"name": "n" * 51}, "50"),
    ],
)
def test_what_the_api_server_refuses(
    kube: Kubectl, changes: dict[str, Any], metadata: dict[str, str], says: str
) -> None:
    job = finetune_job("refused", **changes)
    job["metadata"].update(metadata)
    done = kube.run("create", "-f", "-", stdin=json.dumps(job))
    assert done.returncode != 0
    assert says in done.stderr
    applied = kube.run("apply", "--server-side", "-f", "-", stdin=json.dumps(job))
    assert applied.returncode != 0


def test_an_unknown_field_without_validation_is_pruned(kube: Kubectl) -> None:
    job = finetune_job("pruned", trainning={}, suspend=True)
    kube("create", "--validate=false", "-f", "-", stdin=json.dumps(job))
    try:
        kept = kube.get("finetunejob", "pruned")
        assert kept is not None
        assert "trainning" not in kept["spec"]
    finally:
        kube.delete("finetunejob", "pruned")
