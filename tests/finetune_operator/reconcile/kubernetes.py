"""A namespace without the operator: an API server, the Job controller, a kubelet, a trainer and people.

Each moves one step when told to, so that a test chooses the order.
"""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from typing import Any

from finetune_api.contract import EXIT_CODES, Outcome
from finetune_api.names import ATTEMPT_LABEL
from finetune_api.status import Progress
from finetune_operator.settings import Settings
from tests.finetune_operator.reconcile.objects import INSPECTION, START, finetune_job, stamp

Thing = dict[str, Any]
TERMINAL = ("Succeeded", "Failed")
STEPS = 100


class Kubernetes:
    """One namespace with one job."""

    def __init__(
        self, job: Thing | None = None, *, nodes: tuple[Thing, ...] = (), settings: Settings | None = None
    ) -> None:
        self.now = START
        self.settings = settings or Settings()
        self.nodes = list(nodes)
        self.job: Thing | None = copy.deepcopy(job) if job is not None else finetune_job()
        self.children: dict[tuple[str, str], Thing] = {}
        self.pods: dict[str, Thing] = {}
        self.progress: Progress | None = None
        self.checkpoints: dict[str, int] = {}
        self._count = 0

    # What users and administrators do.

    def delete(self, kind: str, name: str, *, uid: str | None = None) -> None:
        """Delete a child in the background: its pods are told to stop."""
        thing = self.children.get((kind, name))
        if thing is None or uid not in (None, thing["metadata"]["uid"]):
            return
        if kind == "PersistentVolumeClaim" and self.live_pods():
            thing["metadata"].setdefault("deletionTimestamp", stamp(self.now))  # protected while a pod uses it
            return
        del self.children[(kind, name)]
        if kind == "PersistentVolumeClaim":
            self.checkpoints.pop(thing["metadata"]["uid"], None)
        for pod in self._pods_of(thing):
            self.stop_pod(pod)

    def delete_job(self) -> None:
        """Delete the FineTuneJob, and what it owns."""
        assert self.job is not None
        uid, self.job = self.uid(), None
        for (kind, name), child in list(self.children.items()):
            if any(owner["uid"] == uid for owner in child["metadata"].get("ownerReferences", [])):
                self.delete(kind, name)

    def edit(self, **spec: Any) -> None:
        """Change mutable fields of the spec."""
        assert self.job is not None
        if any(self.job["spec"].get(name) != value for name, value in spec.items()):
            self.job["spec"] |= spec
            self.job["metadata"]["generation"] += 1

    def stop_pod(self, pod: Thing) -> None:
        """kubectl delete pod, preemption, suspension, garbage collection: SIGTERM, and later it is gone."""
        grace = timedelta(seconds=self.settings.trainer.termination_grace_seconds)
        pod["metadata"].setdefault("deletionTimestamp", stamp(self.now + grace))

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)

    # The cluster's side.

    def control_jobs(self) -> None:
        """The Job controller looks at every Job once."""
        for job in list(self.live_jobs()):
            pods = self._pods_of(job)
            failed = [pod for pod in pods if pod["status"]["phase"] == "Failed" and not _ignored(pod)]
            if not trains(job):
                failed = self._final(job, pods)
            alive = [pod for pod in pods if pod["status"]["phase"] not in TERMINAL]
            if any(pod["status"]["phase"] == "Succeeded" for pod in pods):
                self._finish(job, "Complete", "", "")
            elif _finished(job):
                pass
            elif failed and not failed[0]["status"].get("containerStatuses"):
                self._finish(job, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
            elif failed:
                code = _code(failed[0])
                name = f"default/{failed[0]['metadata']['name']}"
                message = (
                    f"Container trainer for pod {name} failed with exit code {code} matching FailJob rule at index 2"
                )
                self._finish(job, "Failed", "PodFailurePolicy", message)
            elif job["spec"].get("suspend"):
                job["status"] = {"conditions": [{"type": "Suspended", "status": "True"}]}
                for pod in alive:
                    self.stop_pod(pod)
            else:
                job["status"].pop("conditions", None)
                job["status"].setdefault("startTime", stamp(self.now))
                if not alive:
                    self._make_pod(job)
        for pod in [p for p in self.pods.values() if p["metadata"].get("deletionTimestamp")]:
            if pod["status"]["phase"] in TERMINAL:
                del self.pods[pod["metadata"]["name"]]

        for (kind, name), child in list(self.children.items()):
            if child["metadata"].get("deletionTimestamp"):
                self.delete(kind, name)

    def _final(self, job: Thing, pods: list[Thing]) -> list[Thing]:
        """The pod that ends a Job which makes its pods anew: the first that no policy forgives, or one too many."""
        ended = [pod for pod in pods if pod["status"]["phase"] == "Failed"]
        counted = job.setdefault("counted", [])
        counted += [pod["metadata"]["name"] for pod in ended if pod["metadata"]["name"] not in counted]
        policy = job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
        if len(counted) > job["spec"]["backoffLimit"]:
            self._finish(job, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        return [pod for pod in ended if _code(pod) in policy]

    def run_kubelet(self) -> None:
        """Every pod goes one step further: scheduled, then started; what is to stop stops with a checkpoint."""
        for pod in self.live_pods():
            status = pod["status"]
            if pod["metadata"].get("deletionTimestamp"):
                self.end_pod(pod, Outcome.INTERRUPTED)
            elif not pod["spec"].get("nodeName"):
                pod["spec"]["nodeName"] = "node"
                status["conditions"] = [
                    {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(self.now)}
                ]
                self._container(pod, {"waiting": {"reason": "ContainerCreating"}})
            elif "running" not in status["containerStatuses"][0]["state"]:
                status |= {"phase": "Running", "podIP": "10.0.0.7"}
                self._container(pod, {"running": {"startedAt": stamp(self.now)}})
                pod["from"] = self.checkpoint()

    def train(self, steps: int = 30) -> None:
        """The running trainer goes on, and somebody asks it how far it is."""
        for pod in [pod for pod in self.running_pods() if trains(pod)]:
            pod["step"] = min(reached(pod) + steps, STEPS)
            self.progress = Progress(
                stage="Training",
                step=pod["step"],
                max_steps=STEPS,
                percent=pod["step"],
                last_heartbeat_time=self.now,
            )

    def end_trainer(self, outcome: Outcome) -> None:
        """The running trainer ends."""
        for pod in self.running_pods():
            self.end_pod(pod, outcome)

    def end_pod(
        self,
        pod: Thing,
        outcome: Outcome | None,
        *,
        code: int | None = None,
        reason: str = "Error",
        disrupted: bool = False,
    ) -> None:
        """A pod ends: with a trainer's outcome and its message, or with a bare exit code."""
        code = EXIT_CODES[outcome] if outcome is not None else code or 0
        state = pod["status"].get("containerStatuses", [{"state": {}}])[0]["state"]
        step = STEPS if outcome is Outcome.SUCCEEDED else reached(pod)
        if outcome in (Outcome.SUCCEEDED, Outcome.INTERRUPTED) and "running" in state and trains(pod):
            self._save(step)
        message = self._result(pod, outcome, step) if outcome is not None and "running" in state else ""
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        if disrupted:
            pod["status"].setdefault("conditions", []).append({"type": "DisruptionTarget", "status": "True"})
        terminated = {"exitCode": code, "reason": reason, "finishedAt": stamp(self.now), "message": message}
        self._container(pod, {"terminated": terminated | {"startedAt": state.get("running", {}).get("startedAt")}})

    # Questions.

    def of(self, kind: str) -> list[Thing]:
        """The children of a kind."""
        return copy.deepcopy([thing for (k, _), thing in sorted(self.children.items()) if k == kind])

    def live_jobs(self) -> list[Thing]:
        """Jobs that have not finished."""
        return [job for (kind, _), job in sorted(self.children.items()) if kind == "Job" and not _finished(job)]

    def live_pods(self) -> list[Thing]:
        """Pods that have not ended."""
        return [pod for pod in self.pods.values() if pod["status"]["phase"] not in TERMINAL]

    def running_pods(self) -> list[Thing]:
        """Pods whose trainer runs and was not told to stop."""
        return [
            pod
            for pod in self.live_pods()
            if pod["status"]["phase"] == "Running" and not pod["metadata"].get("deletionTimestamp")
        ]

    def checkpoint(self) -> int:
        """The step on the work volume; 0: none."""
        return self.checkpoints.get(self._volume(), 0)

    def _volume(self) -> str:
        claim = next((c for (kind, _), c in self.children.items() if kind == "PersistentVolumeClaim"), None)
        return claim["metadata"]["uid"] if claim is not None else ""

    def _save(self, step: int) -> None:
        self.checkpoints[self._volume()] = max(step, self.checkpoint())

    def _result(self, pod: Thing, outcome: Outcome, step: int) -> str:
        result: Thing = {
            "contractVersion": 1,
            "outcome": outcome,
            "reason": outcome,
            "message": f"the trainer says {outcome}",
            "step": step,
        }
        if pod["from"]:
            result["resumedFromStep"] = pod["from"]
        if not trains(pod):
            del result["step"]
            if outcome is Outcome.SUCCEEDED:
                result |= {"inspection": INSPECTION, "resolved": {"modelRevision": "c0ffee"}}
        elif outcome is Outcome.SUCCEEDED:
            uri = "pvc://invoices-work/output"
            result["outputs"] = [{"kind": "adapter", "uri": uri, "digest": "sha256:00", "sizeBytes": 7}]
            result["metrics"] = {"trainLoss": 0.5}
            result["resolved"] = {"modelRevision": "c0ffee"}
        return json.dumps(result)

    def _container(self, pod: Thing, state: Thing) -> None:
        pod["status"]["containerStatuses"] = [{"name": "trainer", "state": state}]

    def _make_pod(self, job: Thing) -> None:
        name = self.new_name(f"{job['metadata']['name']}-pod")
        self.pods[name] = {
            "metadata": {
                "name": name,
                "uid": self.new_name("uid"),
                "creationTimestamp": stamp(self.now),
                "labels": job["spec"]["template"]["metadata"]["labels"],
                "ownerReferences": [{"uid": job["metadata"]["uid"], "controller": True}],
            },
            "spec": {},
            "status": {"phase": "Pending"},
        }

    def _pods_of(self, job: Thing) -> list[Thing]:
        uid = job["metadata"]["uid"]
        return [pod for pod in self.pods.values() if pod["metadata"]["ownerReferences"][0]["uid"] == uid]

    def _finish(self, job: Thing, kind: str, reason: str, message: str) -> None:
        condition = {"type": kind, "status": "True", "reason": reason, "message": message}
        job["status"]["conditions"] = [condition | {"lastTransitionTime": stamp(self.now)}]

    def uid(self) -> str:
        """Of the FineTuneJob."""
        assert self.job is not None
        return str(self.job["metadata"]["uid"])

    def new_name(self, prefix: str) -> str:
        """One that nothing had before."""
        self._count += 1
        return f"{prefix}-{self._count:04d}"


def trains(thing: Thing) -> bool:
    """Whether a Job or pod is one of an attempt; else it reads the inputs."""
    return ATTEMPT_LABEL in thing["metadata"]["labels"]


def reached(pod: Thing) -> int:
    """The step that its trainer has done."""
    return int(pod["step"] if "step" in pod else pod.get("from", 0))


def _finished(job: Thing) -> bool:
    conditions = job["status"].get("conditions", [])
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def _code(pod: Thing) -> int | None:
    containers = pod["status"].get("containerStatuses")
    code: int | None = containers[0]["state"]["terminated"]["exitCode"] if containers else None
    return code


def _ignored(pod: Thing) -> bool:
    disrupted = any(c["type"] == "DisruptionTarget" for c in pod["status"].get("conditions", []))
    return disrupted or _code(pod) == EXIT_CODES[Outcome.INTERRUPTED]
