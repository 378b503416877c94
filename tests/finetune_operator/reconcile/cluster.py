"""As much of a cluster as a decision can see, with the operator in it.

`plan` and `carry_out` are apart, so that a test can let the operator die between any two writes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from finetune_api.contract import Outcome
from finetune_operator.reconcile import reconcile
from finetune_operator.reconcile.plan import Observed, Plan
from finetune_operator.settings import Settings
from tests.finetune_operator.reconcile.kubernetes import STEPS, TERMINAL, Kubernetes, Thing, reached, trains
from tests.finetune_operator.reconcile.objects import stamp


class Cluster(Kubernetes):
    """What the operator sees of it, and does to it."""

    def __init__(
        self, job: Thing | None = None, *, nodes: tuple[Thing, ...] = (), settings: Settings | None = None
    ) -> None:
        super().__init__(job, nodes=nodes, settings=settings)
        self.rivals: list[Thing] = []
        self.refusal: str | None = None
        self.events: list[tuple[str, str]] = []
        self.writes = 0

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
            alive = [job for job in self.live_jobs() if job["metadata"]["ownerReferences"][0]["uid"] == self.uid()]
            assert not alive, "two live attempts, or one while the inputs are read"
            assert not [pod for pod in self.live_pods() if trains(pod)], "a pod of the last attempt is still alive"
        thing = json.loads(json.dumps(manifest))
        thing["metadata"] |= {"uid": self.new_name("uid"), "creationTimestamp": stamp(self.now)}
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

    def settle(self, *, rounds: int = 60) -> None:
        """Nothing bad happens any more: every part works until the job has ended (or nothing moves)."""
        for _ in range(rounds):
            plan = self.reconcile()
            if self.job is None or self.phase() in TERMINAL:
                return
            self.control_jobs()
            self.run_kubelet()
            self.reconcile()
            if any(reached(pod) >= STEPS or not trains(pod) for pod in self.running_pods()):
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


def has_writes(plan: Plan) -> bool:
    """Whether a plan asks for anything to be written."""
    return bool(plan.create or plan.patch or plan.status is not None or plan.events or plan.delete or plan.delete_job)
