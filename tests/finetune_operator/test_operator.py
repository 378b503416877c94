"""The whole operator as a process, against a real API server: starting, working, standing by, stopping."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.kubectl import Kubectl
from tests.apiserver import ApiServer
from tests.finetune_operator.reconcile.objects import INSPECTION

pytestmark = pytest.mark.apiserver
NAMES = (f"operator-{number}" for number in itertools.count())
PORTS = itertools.count(22010)
SECONDS = 60.0
COMMAND = (sys.executable, "-m", "finetune_operator.cli.main", "operator")
JOB = """
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: invoices}
spec:
  model: {source: "hf://example/model"}
  method: lora
  dataset: {train: {source: "hf://example/data"}}
  resources: {accelerator: cpu}
"""


class Operator:
    """One process."""

    def __init__(self, apiserver: ApiServer, folder: Path, namespace: str, **environ: str) -> None:
        self.port = next(PORTS)
        self.log = folder / f"operator-{self.port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "--namespace", namespace, "--kubeconfig", str(apiserver.kubeconfig)],
                stderr=log,
                env={
                    **os.environ,
                    "FINETUNE_HTTP_PORT": str(self.port),
                    "FINETUNE_LEASE_NAME": namespace,
                    **environ,
                },
            )

    def get(self, path: str) -> tuple[int, str]:
        """Status (0: nobody listens) and text."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return 0, ""

    def until_ready(self, state: str) -> None:
        until(lambda: self.get("/readyz") == (200, state), lambda: self.log.read_text())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def until(reached: Callable[[], bool], explain: Callable[[], str]) -> None:
    end = time.monotonic() + SECONDS
    while not reached():
        if time.monotonic() > end:
            raise TimeoutError(explain())
        time.sleep(0.1)


Start = Callable[..., Operator]


@pytest.fixture
def namespace(apiserver: ApiServer) -> Kubectl:
    return apiserver.in_namespace(next(NAMES))


@pytest.fixture
def start(apiserver: ApiServer, namespace: Kubectl, tmp_path: Path) -> Iterator[Start]:
    started: list[Operator] = []

    def begin(**environ: str) -> Operator:
        started.append(Operator(apiserver, tmp_path, namespace.namespace, **environ))
        return started[-1]

    yield begin
    for operator in started:
        if operator.process.poll() is None:
            operator.process.kill()
            operator.process.wait()


def test_a_new_jobs_inputs_are_read_before_anything_else_is_made(start: Start, namespace: Kubectl) -> None:
    operator = start()
    operator.until_ready("leads")
    namespace("apply", "--server-side", "-f", "-", stdin=JOB)
    until(lambda: namespace.get("job", "invoices-inspect") is not None, lambda: operator.log.read_text())
    job = namespace.until("finetunejob", "invoices", lambda j: "phase" in j.get("status", {}), seconds=SECONDS)
    for kind in ("configmap", "job"):
        child = namespace.get(kind, "invoices-inspect")
        assert child is not None, kind
        assert child["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert namespace.get("pvc", "invoices-work") is None
    sized = next(c for c in job["status"]["conditions"] if c["type"] == "Sized")
    assert (sized["status"], sized["reason"]) == ("Unknown", "Inspecting")


def test_a_job_gets_what_it_consists_of_and_then_there_is_peace(start: Start, namespace: Kubectl) -> None:
    namespace("apply", "--server-side", "-f", "-", stdin=JOB)
    # What the pod that does not run here would have found.
    read = json.dumps({"status": {"inspection": INSPECTION}})
    namespace("patch", "finetunejob", "invoices", "--subresource=status", "--type=merge", "-p", read)
    operator = start()
    operator.until_ready("leads")
    job = namespace.until("finetunejob", "invoices", lambda j: "phase" in j.get("status", {}), seconds=SECONDS)
    until(lambda: namespace.get("job", "invoices-a1") is not None, lambda: operator.log.read_text())
    for kind, name in (("configmap", "invoices-a1"), ("job", "invoices-a1"), ("pvc", "invoices-work")):
        child = namespace.get(kind, name)
        assert child is not None, name
        assert child["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert not job["metadata"].get("finalizers")
    assert not job["metadata"].get("annotations")

    restarted = version(namespace)
    assert operator.stop() == 0
    again = start()
    again.until_ready("leads")
    until(lambda: "finetune_operator_reconcile_seconds_count 1.0" in again.get("/metrics")[1], again.log.read_text)
    assert version(namespace) == restarted
    assert 'verb="create"' not in again.get("/metrics")[1]


def version(namespace: Kubectl) -> str:
    job = namespace.get("finetunejob", "invoices")
    assert job is not None
    return str(job["metadata"]["resourceVersion"])


def test_sigterm_ends_it_with_0_and_gives_the_lease_back(start: Start, namespace: Kubectl) -> None:
    operator = start()
    operator.until_ready("leads")
    holder = lease(namespace)
    assert holder
    assert operator.stop() == 0
    assert lease(namespace) == ""
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in operator.lines())
    # prices grow old by themselves
    told = [line for line in operator.lines() if not line["message"].startswith("prices in the hardware table")]
    assert [line for line in told if line["level"] in ("warning", "error")] == []


def lease(namespace: Kubectl) -> str:
    found = json.loads(namespace("get", "lease", "-n", "default", namespace.namespace, "-o", "json"))
    return str(found["spec"].get("holderIdentity", ""))


def test_the_second_stands_by_is_ready_and_takes_over(start: Start, namespace: Kubectl) -> None:
    first = start()
    first.until_ready("leads")
    second = start()
    second.until_ready("stands by")
    assert "finetune_operator_leader 0.0" in second.get("/metrics")[1]
    assert first.stop() == 0
    second.until_ready("leads")
    assert "finetune_operator_leader 1.0" in second.get("/metrics")[1]
    assert second.get("/healthz") == (200, "ok")


def test_one_that_waits_for_the_lease_stops_at_once(start: Start, namespace: Kubectl) -> None:
    start().until_ready("leads")
    second = start()
    second.until_ready("stands by")
    assert second.stop() == 0


def test_a_lost_lease_ends_it(start: Start, namespace: Kubectl) -> None:
    operator = start()
    operator.until_ready("leads")
    namespace(
        "patch",
        "lease",
        "-n",
        "default",
        namespace.namespace,
        "--type=merge",
        "-p",
        '{"spec": {"holderIdentity": "x"}}',
    )
    assert operator.process.wait(SECONDS) == 1
    assert lease(namespace) == "x"


def test_a_wrong_setting_is_named_before_anything_else(start: Start) -> None:
    operator = start(FINETUNE_WORKERS="none")
    assert operator.process.wait(SECONDS) == 78
    assert "FINETUNE_WORKERS: workers:" in operator.log.read_text()


def test_a_wrong_hardware_table_is_no_start(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hardware.yaml").write_text("- {name: T4, price: {onDemand: -1, date: 2026-01-01}}")
    operator = start(FINETUNE_HARDWARE_FILE=str(tmp_path / "hardware.yaml"))
    assert operator.process.wait(SECONDS) == 78
    assert "hardware.yaml:1: row T4: price.onDemand: " in operator.log.read_text()


def test_a_changed_hardware_table_is_read_and_a_wrong_one_refused(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "hardware.yaml"
    path.write_text("[]")
    operator = start(FINETUNE_HARDWARE_FILE=str(path))
    operator.until_ready("leads")
    refused = "finetune_operator_hardware_refused"
    path.write_text("- {name: T4, tflops: many}")
    until(lambda: f"{refused} 1.0" in operator.get("/metrics")[1], operator.log.read_text)
    assert any("row T4: tflops: " in line["message"] for line in operator.lines() if line["level"] == "error")
    assert operator.get("/readyz") == (200, "leads")
    path.write_text("- {name: T4, tflops: 66}")
    until(lambda: f"{refused} 0.0" in operator.get("/metrics")[1], operator.log.read_text)
    assert any(line["message"].startswith("the hardware table has changed") for line in operator.lines())


def test_a_deleted_jobs_series_vanish(start: Start, namespace: Kubectl) -> None:
    namespace("apply", "--server-side", "-f", "-", stdin=JOB.replace("invoices", "short-lived"))
    operator = start()
    operator.until_ready("leads")
    assert 'name="short-lived"' in operator.get("/metrics")[1]
    namespace.delete("finetunejob", "short-lived")
    until(lambda: 'name="short-lived"' not in operator.get("/metrics")[1], operator.log.read_text)


def test_a_refused_child_is_seen_in_status_and_tried_slowly(start: Start, namespace: Kubectl) -> None:
    namespace("create", "quota", "none", "--hard=count/jobs.batch=0")
    # What the controller that does not run here would write.
    full = json.dumps({"status": {"hard": {"count/jobs.batch": "0"}, "used": {"count/jobs.batch": "0"}}})
    namespace("patch", "quota", "none", "--subresource=status", "--type=merge", "-p", full)
    operator = start()
    operator.until_ready("leads")
    namespace("apply", "--server-side", "-f", "-", stdin=JOB)

    def told(job: dict[str, Any]) -> bool:
        return any("exceeded quota: none" in c["message"] for c in job.get("status", {}).get("conditions", []))

    job = namespace.until("finetunejob", "invoices", told, seconds=SECONDS)
    assert job["status"]["phase"] == "Pending"
    assert namespace.get("job", "invoices-a1") is None
    refused = 'finetune_operator_api_writes_total{code="403",kind="Job",verb="create"} 1.0'
    assert refused in operator.get("/metrics")[1]
    assert operator.get("/healthz")[0] == 200
