"""As much of a cluster as a decision can see: an API server, the Job controller, a kubelet and a trainer.

Each moves one step when told to, so that a test chooses the order; `plan` and `carry_out` are apart, so that a test
can let the operator die between any two writes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from finetune_api.contract import EXIT_CODES, Outcome
from finetune_api.names import ATTEMPT_LABEL
from finetune_api.status import Progress
from finetune_operator.reconcile import reconcile
from finetune_operator.reconcile.plan import Observed, Plan
from finetune_operator.settings import Settings
from tests.finetune_operator.reconcile.objects import INSPECTION, START, finetune_job, stamp

Thing = dict[str, Any]
TERMINAL = ("Succeeded", "Failed")
STEPS = 100


class Cluster:
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
        self.rivals: list[Thing] = []
        self.refusal: str | None = None
        self.progress: Progress | None = None
        self.checkpoints: dict[str, int] = {}
        self.events: list[tuple[str, str]] = []
        self.writes = 0
        self._count = 0

    # The operator's side.

    def observe(self) -> Observed:
        """What the store would show."""
        assert self.job is not None

        return Observed(
            job=copy.deepcopy(self.job),
            jobs=self.of("Job"),
            pods=copy.deepcopy(sorted(self.pods.values(), key=lambda pod: pod["metadata"]["name"])),
            claims=self.of("PersistentVolumeClaim"),
            config_maps=self.of("ConfigMap"),
            nodes=self.nodes,
            rivals=self.rivals,
            progress=self.progress,
            refusal=self.refusal,
        )

    def of(self, kind: str) -> list[Thing]:
        """The children of a kind."""
        return copy.deepcopy([thing for (k, _), thing in sorted(self.children.items()) if k == kind])

    def plan(self) -> Plan:
        """What the operator would do now."""
        return reconcile(self.observe(), now=self.now, settings=self.settings)

    def carry_out(self, plan: Plan, *, writes: int | None = None) -> None:
        """Apply a plan, or only its first so many writes: then the operator dies."""
        for number, write in enumerate(self._writes(plan)):
            if writes is not None and number >= writes:
                return
            write()
            self.writes += 1

    def reconcile(self) -> Plan:
        """Decide and apply, again until there is nothing left to write."""
        if self.job is None:
            return Plan()
        for _ in range(10):
            plan = self.plan()
            self.carry_out(plan)
            if self.job is None or not has_writes(plan):
                return plan
        raise AssertionError(f"no end of writing: {plan}")

    def _writes(self, plan: Plan) -> Iterator[Callable[[], None]]:
        for manifest in plan.create:
            yield partial(self._create, manifest)
        for patch in plan.patch:
            yield partial(self._patch, patch.ref.name, patch.ref.uid, patch.body)
        if plan.status is not None:
            yield partial(self._status, plan.status)
        for event in plan.events:
            yield partial(self._event, event.reason, event.message, event.about)
        for ref in plan.delete:
            yield partial(self.delete, ref.kind, ref.name, uid=ref.uid)
        if plan.delete_job:
            yield self.delete_job

    def _create(self, manifest: Any) -> None:
        key = (manifest["kind"], manifest["metadata"]["name"])
        assert key not in self.children, f"{key} was created twice"
        if manifest["kind"] == "Job" and trains(manifest):
            alive = [job for job in self.live_jobs() if job["metadata"]["ownerReferences"][0]["uid"] == self._uid()]
            assert not alive, "two live attempts, or one while the inputs are read"
            assert not [pod for pod in self.live_pods() if trains(pod)], "a pod of the last attempt is still alive"
        thing = json.loads(json.dumps(manifest))
        thing["metadata"] |= {"uid": self._new("uid"), "creationTimestamp": stamp(self.now)}
        thing.setdefault("status", {})
        self.children[key] = thing

    def _patch(self, name: str, uid: str, body: Any) -> None:
        job = self.children[("Job", name)]
        assert job["metadata"]["uid"] == uid
        job["spec"] |= body["spec"]

    def _status(self, status: Any) -> None:
        assert self.job is not None
        self.job["status"] = json.loads(json.dumps(status))

    def _event(self, reason: str, message: str, about: str) -> None:
        self.events.append((reason, f"{message} [{about}]"))

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
        uid, self.job = self._uid(), None
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
            pod["step"] = min(_step(pod) + steps, STEPS)
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
        step = STEPS if outcome is Outcome.SUCCEEDED else _step(pod)
        if outcome in (Outcome.SUCCEEDED, Outcome.INTERRUPTED) and "running" in state and trains(pod):
            self._save(step)
        message = self._result(pod, outcome, step) if outcome is not None and "running" in state else ""
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        if disrupted:
            pod["status"].setdefault("conditions", []).append({"type": "DisruptionTarget", "status": "True"})
        terminated = {"exitCode": code, "reason": reason, "finishedAt": stamp(self.now), "message": message}
        self._container(pod, {"terminated": terminated | {"startedAt": state.get("running", {}).get("startedAt")}})

    def settle(self, *, rounds: int = 60) -> None:
        """Nothing bad happens any more: every part works until the job has ended (or nothing moves)."""
        for _ in range(rounds):
            plan = self.reconcile()
            if self.job is None or self.phase() in TERMINAL:
                return
            self.control_jobs()
            self.run_kubelet()
            self.reconcile()
            if any(_step(pod) >= STEPS or not trains(pod) for pod in self.running_pods()):
                self.end_trainer(Outcome.SUCCEEDED)
            self.train(50)
            self.wait(max(2.0, min(plan.after.total_seconds() if plan.after else 2.0, 700)))

    # Questions.

    def phase(self) -> str:
        """status.phase."""
        assert self.job is not None
        return str(self.job["status"].get("phase", ""))

    def condition(self, kind: str) -> Thing:
        """One of status.conditions."""
        assert self.job is not None
        [found] = [c for c in self.job["status"]["conditions"] if c["type"] == kind]
        return dict(found)

    def attempts(self) -> list[Thing]:
        """status.attempts."""
        assert self.job is not None
        return list(self.job["status"].get("attempts", []))

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
        name = self._new(f"{job['metadata']['name']}-pod")
        self.pods[name] = {
            "metadata": {
                "name": name,
                "uid": self._new("uid"),
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

    def _uid(self) -> str:
        assert self.job is not None
        return str(self.job["metadata"]["uid"])

    def _new(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}-{self._count:04d}"


def has_writes(plan: Plan) -> bool:
    """Whether a plan asks for anything to be written."""
    return bool(plan.create or plan.patch or plan.status is not None or plan.events or plan.delete or plan.delete_job)


def trains(thing: Thing) -> bool:
    """Whether a Job or pod is one of an attempt; else it reads the inputs."""
    return ATTEMPT_LABEL in thing["metadata"]["labels"]


def attempt_number(pod: Thing) -> int:
    """The attempt that a pod is of."""
    return int(pod["metadata"]["labels"][ATTEMPT_LABEL])


def _step(pod: Thing) -> int:
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
