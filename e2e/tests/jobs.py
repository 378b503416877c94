"""FineTuneJobs of the end-to-end tests, and how they are followed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from e2e.kubectl import Kubectl, Object, condition

INPUTS = "inputs"  # claim with the small model and the data sets
TERMINAL = ("Succeeded", "Failed")


def finetune_job(name: str, **changes: Any) -> Object:
    """A small LoRA job of about half a minute; `changes` are merged into its spec (None removes a field)."""
    spec: Object = {
        "model": {"source": f"pvc://{INPUTS}/model"},
        "method": "lora",
        "dataset": {"train": {"source": f"pvc://{INPUTS}/train.jsonl"}, "validation": {"fraction": 0.05}},
        "adapter": {"rank": 16, "alpha": 32},
        "training": {
            "epochs": 8,
            "learningRate": 1e-3,
            "effectiveBatchSize": 16,
            "maxSequenceLength": 512,
        },
        "resources": {"accelerator": "cpu", "cpu": "500m", "memory": "3Gi"},
        "storage": {"size": "1Gi"},
        "checkpoint": {"intervalSeconds": 5},
    }
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": merged(spec, changes),
    }


def merged(base: Any, changes: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(changes, Mapping) or not isinstance(base, Mapping):
        return changes
    whole = {**base, **{k: merged(base.get(k, {}), v) for k, v in changes.items()}}
    return {k: v for k, v in whole.items() if v is not None}


def submit(kube: Kubectl, job: Object) -> Object:
    """Create the job; what it made of an earlier run of the test is gone first."""
    name = job["metadata"]["name"]
    kube.delete("finetunejob", name)
    gone(kube, name)
    kube("create", "-f", "-", stdin=json.dumps(job))
    return job


def gone(kube: Kubectl, name: str, *, seconds: float = 120) -> None:
    """Wait until nothing of the job is left but claims that it retains.

    Raises:
        TimeoutError: something is still there; the text says what.
    """
    end = time.monotonic() + seconds
    while left := [
        f"{o['kind']}/{o['metadata']['name']}"
        for o in kube.list("jobs,pods,configmaps", f"finetune.dev/job-name={name}")
    ]:
        if time.monotonic() > end:
            raise TimeoutError(f"still there after {seconds:.0f} s: {', '.join(left)}")
        time.sleep(0.5)


def finished(kube: Kubectl, name: str, *, seconds: float = 300) -> Object:
    """The job at its end, whichever."""
    return kube.until("finetunejob", name, lambda job: phase(job) in TERMINAL, seconds=seconds)


def succeeded(kube: Kubectl, name: str, *, seconds: float = 300) -> Object:
    """The job, which must have succeeded: a failure's own words otherwise."""
    job = finished(kube, name, seconds=seconds)
    assert phase(job) == "Succeeded", f"{name}: {condition(job, 'Failed')} {job['status'].get('attempts')}"
    return job


def phase(job: Mapping[str, Any]) -> str:
    """status.phase."""
    return str(job.get("status", {}).get("phase", ""))


def at_step(kube: Kubectl, name: str, step: int, *, seconds: float = 180) -> Object:
    """The job when its progress has come to the step."""

    def reached(job: Object) -> bool:
        assert phase(job) not in TERMINAL, f"{name} ended before step {step}: {job['status']}"
        return int(job.get("status", {}).get("progress", {}).get("step") or 0) >= step

    return kube.until("finetunejob", name, reached, seconds=seconds)


def pods(kube: Kubectl, name: str) -> list[Object]:
    """The training pods of the job, oldest first."""
    return [pod for pod in all_pods(kube, name) if "finetune.dev/attempt" in pod["metadata"]["labels"]]


def all_pods(kube: Kubectl, name: str) -> list[Object]:
    """The training pods of the job and those that read its inputs, oldest first."""
    found = kube.list("pods", f"finetune.dev/job-name={name}")
    return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def told(kube: Kubectl, name: str, words: str, *, seconds: float = 60) -> None:
    """Wait until an event of the job says so: events are written after status."""
    end = time.monotonic() + seconds
    while not any(words in note for _, note in events(kube, name)):
        assert time.monotonic() < end, f"no event says {words!r}: {events(kube, name)}"
        time.sleep(0.5)


def events(kube: Kubectl, name: str) -> list[tuple[str, str]]:
    """(reason, note) of the events about the job; those about an earlier one of its name live on for an hour."""
    job = kube.get("finetunejob", name)
    assert job is not None, f"there is no FineTuneJob {name}"
    return [
        (e["reason"], e.get("message", ""))
        for e in kube.list("events")
        if e["involvedObject"].get("uid") == job["metadata"]["uid"]
    ]


def operator_pod(system: Kubectl) -> Object:
    """The pod of the operator: after an upgrade its predecessor may still be there, on its way."""
    found = system.list("pods", "app.kubernetes.io/name=finetune-operator")
    [pod] = [each for each in found if "deletionTimestamp" not in each["metadata"]]
    return pod
