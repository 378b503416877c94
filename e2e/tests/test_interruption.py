"""What is done to a run, and that its result is the same as if nothing had been done."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e import claims
from e2e.kubectl import Kubectl, Object, condition
from e2e.tests.conftest import SYSTEM_NAMESPACE, Finished, Inputs
from e2e.tests.jobs import at_step, events, finetune_job, operator_pod, phase, pods, submit, succeeded

pytestmark = pytest.mark.cluster
MIDDLE, LATER = 60, 150  # steps of 288
GRACE_SECONDS = 150  # a pod that is asked to stop has 120


def losses(kube: Kubectl, inputs: Inputs, name: str, into: Path) -> dict[int, float]:
    """Step -> loss of the whole run, from the log on its volume."""
    path = claims.take(kube, f"{name}-work", inputs.image, "metrics.jsonl", into / name)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    found = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    assert len(found) == len(dict(found)), "a step was logged twice"
    return dict(found)


@pytest.fixture(scope="module")
def uninterrupted(
    kube: Kubectl, inputs: Inputs, plain: Finished, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, float]:
    """The loss curve of the run that nothing happens to."""
    return losses(kube, inputs, "plain", tmp_path_factory.mktemp("curve"))


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


def struck(kube: Kubectl, name: str, step: int, strike: Callable[[Kubectl, Object], None]) -> int:
    """The exit code of the job's pod, which is struck at that step or soon after."""
    at_step(kube, name, step)
    pod = running(kube, name)["metadata"]["name"]
    # A finalizer of the test's own keeps the pod to be looked at after it has ended.
    hold = {"metadata": {"finalizers": ["finetune.dev/looked-at"]}}
    kube("patch", "pod", pod, "--type=merge", "-p", json.dumps(hold))
    strike(kube, kube.get("pod", pod) or {})
    ended = kube.until(
        "pod", pod, lambda p: "terminated" in p["status"]["containerStatuses"][0]["state"], seconds=GRACE_SECONDS
    )
    kube("patch", "pod", pod, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    return int(ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"])


def running(kube: Kubectl, name: str) -> Object:
    """The job's pod that trains: after an interruption another one than before."""
    end = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < end:
        for pod in pods(kube, name):
            if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]:
                return pod
        time.sleep(0.5)
    raise TimeoutError(f"no pod of {name} runs: {[pod['status'] for pod in pods(kube, name)]}")


def first_step(kube: Kubectl, name: str) -> int:
    """The first step that the job's running pod tells of in its log."""
    pod = running(kube, name)["metadata"]["name"]
    end = time.monotonic() + GRACE_SECONDS
    while (found := re.search(r"step (\d+)/", kube("logs", pod))) is None:
        assert time.monotonic() < end, f"{pod} makes no step"
        time.sleep(0.5)
    return int(found[1])


def test_a_run_whose_pods_are_taken_away_goes_on_from_its_checkpoints(
    kube: Kubectl, inputs: Inputs, tmp_path: Path, uninterrupted: dict[int, float]
) -> None:
    submit(kube, finetune_job("taken"))
    assert struck(kube, "taken", MIDDLE, evict_pod) == 82
    assert struck(kube, "taken", LATER, delete_pod) == 82
    [attempt] = succeeded(kube, "taken")["status"]["attempts"]
    assert attempt["interruptions"] == 2
    assert attempt["resumedFromStep"] > 0
    assert losses(kube, inputs, "taken", tmp_path) == uninterrupted


def test_a_suspended_run_gives_the_hardware_back_and_goes_on_and_so_does_a_killed_one(
    kube: Kubectl, inputs: Inputs, tmp_path: Path, uninterrupted: dict[int, float]
) -> None:
    submit(kube, finetune_job("stopped"))
    at_step(kube, "stopped", MIDDLE)
    kube("patch", "finetunejob", "stopped", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    kube.until(
        "finetunejob", "stopped", lambda job: condition(job, "Suspended")["status"] == "True", seconds=GRACE_SECONDS
    )
    held = [pod for pod in pods(kube, "stopped") if pod["status"]["phase"] in ("Pending", "Running")]
    assert held == [], "one that has ended may still be there, and holds nothing"
    kube("patch", "finetunejob", "stopped", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    assert first_step(kube, "stopped") >= MIDDLE, "it goes on, and does not begin anew"
    assert struck(kube, "stopped", LATER, kill_pod) == 137
    first, second = succeeded(kube, "stopped")["status"]["attempts"]
    assert "interruptions" not in first, "a suspension is none"
    assert second["resumedFromStep"] > 0
    assert losses(kube, inputs, "stopped", tmp_path) == uninterrupted


def test_the_operator_may_be_killed_while_a_job_trains(kube: Kubectl, system: Kubectl, inputs: Inputs) -> None:
    submit(kube, finetune_job("orphan"))
    before = at_step(kube, "orphan", 20)
    operator = operator_pod(system)
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
    # a busy node may be waited for twice
    told = Counter(each for each in events(kube, "orphan") if each[0] != "Unschedulable")
    assert set(told.values()) == {1}, f"an event was told twice: {told}"
    again = system.get("pod", name)
    assert again is not None
    assert again["status"]["containerStatuses"][0]["restartCount"] == restarts + 1


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
