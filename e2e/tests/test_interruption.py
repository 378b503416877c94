"""What is done to a run, and that its result is the same as if nothing had been done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e import claims
from e2e.kubectl import Kubectl, Object
from e2e.tests.conftest import SYSTEM_NAMESPACE, Inputs
from e2e.tests.jobs import at_step, events, finetune_job, phase, pods, submit, succeeded

pytestmark = pytest.mark.cluster
MIDDLE = 60  # a step well after the first checkpoint and well before the end


def losses(kube: Kubectl, inputs: Inputs, name: str, into: Path) -> dict[int, float]:
    """Step -> loss of the whole run, from the log on its volume."""
    path = claims.take(kube, f"{name}-work", inputs.image, "metrics.jsonl", into / name)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    found = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    assert len(found) == len(dict(found)), "a step was logged twice"
    return dict(found)


@pytest.fixture(scope="module")
def uninterrupted(kube: Kubectl, inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The loss curve of the run that nothing happens to."""
    submit(kube, finetune_job("uninterrupted"))
    succeeded(kube, "uninterrupted")
    return losses(kube, inputs, "uninterrupted", tmp_path_factory.mktemp("curve"))


def delete_pod(kube: Kubectl, pod: Object) -> None:
    kube("delete", "pod", pod["metadata"]["name"], "--wait=false")


def evict_pod(kube: Kubectl, pod: Object) -> None:
    meta = pod["metadata"]
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
    }
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction"
    kube("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


def processes_of(pod: Object) -> list[int]:
    """Process ids of the pod's trainer on this machine, by the pod's UID in their control group."""
    uid = pod["metadata"]["uid"]
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and uid in (entry / "cgroup").read_text():
                command = (entry / "cmdline").read_bytes()
                if b"finetune_trainer" in command:
                    found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return found


def kill_pod(_: Kubectl, pod: Object) -> None:
    found = processes_of(pod)
    assert found, "the trainer's processes are not on this machine: this test needs the project's own cluster"
    for pid in found:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("name", "strike", "attempts"),
    [
        ("deleted", delete_pod, 1),
        ("evicted", evict_pod, 1),
        ("killed", kill_pod, 2),
    ],
)
def test_the_run_goes_on_from_its_checkpoint(
    kube: Kubectl,
    inputs: Inputs,
    tmp_path: Path,
    uninterrupted: dict[int, float],
    name: str,
    strike: Callable[[Kubectl, Object], None],
    attempts: int,
) -> None:
    submit(kube, finetune_job(name))
    at_step(kube, name, MIDDLE)
    [pod] = pods(kube, name)
    # A finalizer of the test's own keeps the pod to be looked at after it has ended.
    hold = {"metadata": {"finalizers": ["finetune.dev/looked-at"]}}
    kube("patch", "pod", pod["metadata"]["name"], "--type=merge", "-p", json.dumps(hold))
    strike(kube, pod)

    ended = kube.until(
        "pod",
        pod["metadata"]["name"],
        lambda p: "terminated" in p["status"]["containerStatuses"][0]["state"],
        seconds=90,
    )
    code = ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
    kube("patch", "pod", pod["metadata"]["name"], "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert code == (137 if strike is kill_pod else 82)

    job = succeeded(kube, name)
    history = job["status"]["attempts"]
    assert len(history) == attempts
    assert history[-1]["resumedFromStep"] > 0
    if attempts == 1:
        assert history[0]["interruptions"] == 1
    assert losses(kube, inputs, name, tmp_path) == uninterrupted


def test_the_operator_may_be_killed_while_a_job_trains(kube: Kubectl, system: Kubectl, inputs: Inputs) -> None:
    submit(kube, finetune_job("orphan"))
    before = at_step(kube, "orphan", 20)
    [operator] = system.list("pods", "app.kubernetes.io/name=finetune-operator")
    name, uid = operator["metadata"]["name"], operator["metadata"]["uid"]
    restarts = operator["status"]["containerStatuses"][0]["restartCount"]
    killed = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and uid in _read(entry / "cgroup") and "finetune" in _read(entry / "cmdline")
    ]
    assert killed, f"no process of {SYSTEM_NAMESPACE}/{name} on this machine"
    for pid in killed:
        os.kill(pid, signal.SIGKILL)

    right_after = kube.get("finetunejob", "orphan")
    assert right_after is not None
    assert phase(right_after) == "Training"
    assert right_after["status"]["progress"]["step"] >= before["status"]["progress"]["step"]

    job = succeeded(kube, "orphan")
    assert len(job["status"]["attempts"]) == 1
    assert job["status"]["attempts"][0].get("interruptions", 0) == 0
    assert len(pods(kube, "orphan")) == 1
    reasons = [reason for reason, _ in events(kube, "orphan")]
    assert len(reasons) == len(set(reasons)), f"an event was told twice: {reasons}"
    again = system.get("pod", name)
    assert again is not None
    assert again["status"]["containerStatuses"][0]["restartCount"] == restarts + 1


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_suspend_gives_the_hardware_back_and_goes_on(
    kube: Kubectl, inputs: Inputs, tmp_path: Path, uninterrupted: dict[int, float]
) -> None:
    submit(kube, finetune_job("suspended"))
    at_step(kube, "suspended", MIDDLE)
    kube("patch", "finetunejob", "suspended", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    kube.until("finetunejob", "suspended", lambda job: phase(job) == "Suspended", seconds=60)
    subprocess.run(
        kube.command(
            "wait", "--for=delete", "pod", "-l", "finetune.dev/job-name=suspended,finetune.dev/attempt", "--timeout=60s"
        ),
        env=dict(kube.env),
        check=True,
    )
    kube("patch", "finetunejob", "suspended", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    job = succeeded(kube, "suspended")
    assert len(job["status"]["attempts"]) == 1
    assert losses(kube, inputs, "suspended", tmp_path) == uninterrupted
