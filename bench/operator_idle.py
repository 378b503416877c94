"""The operator with thousands of idle jobs: memory, time until ready, and that it then writes nothing.

Runs against etcd and the API server alone (`e2e.cluster.controlplane`), in a folder that is removed afterwards:
    python -m bench.operator_idle [--jobs 2000]
Exits with 1 where a limit is exceeded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster import controlplane
from finetune_api.names import ATTEMPT_LABEL, JOB_NAME_LABEL, MANAGED_BY, MANAGED_BY_LABEL, attempt_name
from finetune_operator import access
from finetune_operator.client import ApiError, Client
from finetune_operator.kinds import FINE_TUNE_JOB, JOB, POD, Kind
from tests.finetune_operator.reconcile.objects import INSPECTION

ROOT = Path(__file__).resolve().parent.parent
NAMESPACES = 10
AT_ONCE = 16
READY_LIMIT_SECONDS = 15.0
MEMORY_LIMIT_MIB = 250.0
HTTP_PORT = 18090
WRITES = ("create", "update", "patch", "delete")
CRD = Kind("CustomResourceDefinition", "apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
NAMESPACE = Kind("Namespace", "v1", "namespaces", namespaced=False)


def main() -> int:
    """Measure, print, compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--port", type=int, default=7743, help="first of three ports of the control plane")
    parser.add_argument("--quiet-seconds", type=float, default=60, help="how long nothing may be written")
    parser.add_argument("--command", default=f"{sys.executable} -m finetune_operator.cli.main operator")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="finetune-bench-") as folder:
        kubeconfig = controlplane.start(Path(folder), args.port)
        try:
            return asyncio.run(measure(args, Path(folder), kubeconfig))
        finally:
            controlplane.stop(Path(folder))


async def measure(args: argparse.Namespace, folder: Path, kubeconfig: Path) -> int:
    """Fill the cluster by a first operator, then measure a second one that finds everything done."""
    audit = folder / "log" / "audit.log"
    async with Client(partial(access.read, kubeconfig), user_agent="bench") as client:
        await prepare(client, args.jobs)
        with operator(args.command, kubeconfig, folder / "first.log") as process:
            begun = time.monotonic()
            until_ready(process)
            writes = await until_quiet(audit)
            burst = time.monotonic() - begun
            jobs = len((await client.get(JOB.path())).get("items") or [])
        await add_pods(client)
    with operator(args.command, kubeconfig, folder / "second.log") as process:
        begun = time.monotonic()
        until_ready(process)
        ready = time.monotonic() - begun
        settling = await until_quiet(audit)
        since = audit.stat().st_size
        await asyncio.sleep(args.quiet_seconds)
        idle = writes_since(audit, since)
        memory = {name: status_mib(process.pid, name) for name in ("VmRSS", "VmHWM")}
    rows = [
        ("jobs", f"{args.jobs}", ""),
        ("children made by the first run: Jobs", f"{jobs}", ""),
        ("first run, until quiet", f"{burst:.1f} s, {sum(writes.values())} writes", ""),
        ("start to ready", f"{ready:.1f} s", f"{READY_LIMIT_SECONDS:.0f} s"),
        ("VmRSS, settled", f"{memory['VmRSS']:.0f} MiB", f"{MEMORY_LIMIT_MIB:.0f} MiB"),
        ("VmHWM", f"{memory['VmHWM']:.0f} MiB", f"{MEMORY_LIMIT_MIB:.0f} MiB"),
        ("writes after the restart", f"{sum(settling.values())} {dict(settling) or ''}", ""),
        (f"writes in {args.quiet_seconds:.0f} s with nothing changed", f"{sum(idle.values())} {dict(idle) or ''}", "0"),
    ]
    for name, value, limit in rows:
        print(f"{name:48} {value:28} {'limit ' + limit if limit else ''}".rstrip())
    good = ready < READY_LIMIT_SECONDS and memory["VmHWM"] < MEMORY_LIMIT_MIB and not idle
    return 0 if good else 1


async def prepare(client: Client, jobs: int) -> None:
    """The CRD, some namespaces, and FineTuneJobs as users write them, whose inputs have been read."""
    await client.create(CRD, "", yaml.safe_load((ROOT / "crds/finetunejobs.yaml").read_text()))
    names = [f"team-{n}" for n in range(NAMESPACES)]
    for name in names:
        await client.create(NAMESPACE, "", {"metadata": {"name": name}})
    limit = asyncio.Semaphore(AT_ONCE)

    async def make(number: int) -> None:
        namespace = names[number % NAMESPACES]
        async with limit:
            made = await client.create(FINE_TUNE_JOB, namespace, job(namespace, f"job-{number:05}"))
            # What the pods that do not run here would have found.
            read = {"status": {"inspection": INSPECTION}}
            await client.patch(FINE_TUNE_JOB, namespace, made["metadata"]["name"], read, subresource="status")

    await until_served(client)
    await asyncio.gather(*(make(number) for number in range(jobs)))


def job(namespace: str, name: str) -> dict[str, Any]:
    """One on CPU: what it waits for is a pod that no kubelet will start."""
    return {
        "apiVersion": FINE_TUNE_JOB.api_version,
        "kind": FINE_TUNE_JOB.name,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"source": "hf://example/model"},
            "method": "lora",
            "dataset": {"train": {"source": "hf://example/data"}},
            "training": {"epochs": 3, "learningRate": 2.0e-4, "effectiveBatchSize": 16, "maxSequenceLength": 2048},
            "resources": {"accelerator": "cpu"},
        },
    }


async def until_served(client: Client) -> None:
    """A new CRD is served a moment later."""
    while True:
        try:
            await client.get(FINE_TUNE_JOB.path())
        except ApiError as error:
            if error.status not in (404, 429):
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def add_pods(client: Client) -> None:
    """The pods that the Job controller, which does not run here, would have made."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def make(parent: dict[str, Any]) -> None:
        template, metadata = parent["spec"]["template"], parent["metadata"]
        name = metadata["labels"][JOB_NAME_LABEL]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
        pod = {
            "metadata": {
                "name": f"{attempt_name(name, 1)}-x7k2p",
                "labels": {
                    MANAGED_BY_LABEL: MANAGED_BY,
                    JOB_NAME_LABEL: name,
                    ATTEMPT_LABEL: "1",
                    **template["metadata"].get("labels", {}),
                    "batch.kubernetes.io/job-name": metadata["name"],
                },
                "ownerReferences": [{**owner, "controller": True}],
            },
            "spec": template["spec"],
        }
        async with limit:
            await client.create(POD, metadata["namespace"], pod)

    parents = (await client.get(JOB.path())).get("items") or []
    await asyncio.gather(*(make(parent) for parent in parents))


@contextmanager
def operator(command: str, kubeconfig: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The operator as a process of its own, ended as a pod is."""
    environ = {**os.environ, "FINETUNE_HTTP_PORT": str(HTTP_PORT)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*shlex.split(command), "--kubeconfig", str(kubeconfig)], stdout=output, stderr=output, env=environ
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)
    if code != 0:
        raise RuntimeError(f"the operator ended with {code}:\n{log.read_text()[-4000:]}")


def until_ready(process: subprocess.Popen[bytes]) -> None:
    """Wait until /readyz says yes."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{HTTP_PORT}/readyz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise RuntimeError(f"the operator ended with {process.returncode} before it was ready")


async def until_quiet(audit: Path, seconds: float = 5.0) -> Counter[str]:
    """Wait until nothing has been written for a while; returns what was written meanwhile."""
    begin = last = audit.stat().st_size
    since = time.monotonic()
    while time.monotonic() - since < seconds:
        await asyncio.sleep(0.5)
        size = audit.stat().st_size
        if writes_since(audit, last):
            since = time.monotonic()
        last = size
    return writes_since(audit, begin)


def writes_since(audit: Path, offset: int) -> Counter[str]:
    """What the operator has written, without the renewal of its Lease."""
    found: Counter[str] = Counter()
    with audit.open("rb") as file:
        file.seek(offset)
        for line in file.read().splitlines():
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue  # the API server is in the middle of this one
            resource = event.get("objectRef", {}).get("resource")
            mine = event.get("userAgent", "").startswith(("finetune-operator", "kopf"))
            if mine and event["verb"] in WRITES and resource != "leases":
                found[f"{event['verb']} {resource}"] += 1
    return found


def status_mib(pid: int, field: str) -> float:
    """A line of /proc/PID/status, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/status has no {field}")


if __name__ == "__main__":
    sys.exit(main())
