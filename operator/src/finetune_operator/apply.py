"""Carries out a plan: the only place that writes to the cluster.

Whatever the API server answers goes into the store at once, so that the next decision knows of it even when the watch
doesn't yet.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_api.names import JOB_NAME_LABEL, JOB_UID_LABEL, MANAGED_BY, MANAGED_BY_LABEL
from finetune_operator import events
from finetune_operator.client import ApiError, Client, Document
from finetune_operator.kinds import CHILDREN, EVENT, FINE_TUNE_JOB, Kind
from finetune_operator.merge_patch import difference
from finetune_operator.metrics import Metrics
from finetune_operator.reconcile.plan import Event, Object, Observed, Patch, Plan
from finetune_operator.store import Place, Store, place_of

logger = logging.getLogger(__name__)

# Bad request, quota or admission or RBAC, no such namespace or API, too large, invalid: the same again gets the same.
REFUSALS = frozenset({400, 403, 404, 405, 413, 422})
# Gone, not as we know it, or (a merge patch that names a UID is taken for a change of it) another one.
CHANGED = frozenset({404, 409, 422})
TOLD_EVENTS = 4096


class StaleError(RuntimeError):
    """The plan was made from something that is no longer so; what is so has been put into the store."""


class RefusedError(RuntimeError):
    """The API server will not have a child, now or soon. The text is for the user."""


@dataclass(frozen=True, slots=True)
class Applier:
    """Writes plans. `now` and `instance` (who we are) go into events."""

    client: Client
    store: Store
    metrics: Metrics
    now: Callable[[], datetime]
    instance: str
    told: OrderedDict[str, None]

    async def apply(self, seen: Observed, plan: Plan, *, version: str) -> bool:
        """Carry out the plan; True when anything was written that the next decision may depend on.

        `version` is the resourceVersion of `seen.job`: a status that was decided from an older one is not written.

        Raises:
            StaleError: look again.
            RefusedError: a child was refused for good.
            ApiError, UnreachableError: try again later.
        """
        written = False
        for manifest in plan.create:
            await self._create(seen.job, manifest)
            written = True
        for patch in plan.patch:
            await self._patch(place_of(seen.job)[0], patch)
            written = True
        if plan.status is not None:
            written |= await self._write_status(seen.job, plan.status, version)
        for event in plan.events:
            await self._tell(seen.job, event)
        for ref in plan.delete:
            await self._delete(CHILDREN[ref.kind], (place_of(seen.job)[0], ref.name), ref.uid)
            written = True
        if plan.delete_job:
            await self._delete(FINE_TUNE_JOB, place_of(seen.job), seen.job["metadata"]["uid"])
            written = True
        return written

    async def _create(self, job: Object, manifest: Object) -> None:
        kind = CHILDREN[manifest["kind"]]
        place = (place_of(job)[0], str(manifest["metadata"]["name"]))
        try:
            with self.metrics.write("create", kind):
                answer = await self.client.create(kind, place[0], manifest)
        except ApiError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                await self._settle(job, kind, place)
                return
            if error.status in REFUSALS:
                raise RefusedError(f"{kind.name} {place[1]} was refused: {error.message}") from error
            raise
        self.store.put(kind, answer)
        logger.info("created %s %s", kind.name, place[1])

    async def _settle(self, job: Object, kind: Kind, place: Place) -> None:
        """The child was there before: is it this job's, from before a restart?"""
        found = await self._refresh(kind, place)
        if found is None:
            raise StaleError(f"{kind.name} {place[1]} was there and is gone")
        metadata = found["metadata"]
        if metadata.get("deletionTimestamp"):
            raise StaleError(f"{kind.name} {place[1]} of before is still being deleted")
        if belongs(found, job):
            return
        labels = metadata.get("labels", {})
        if labels.get(MANAGED_BY_LABEL) == MANAGED_BY and labels.get(JOB_NAME_LABEL) == job["metadata"]["name"]:
            # Left by an earlier job of this name: the decision sees it now, and knows whether to wait or to complain.
            raise StaleError(f"{kind.name} {place[1]} is an earlier job's")
        raise RefusedError(
            f"{kind.name} {place[0]}/{place[1]} exists and is not this job's; delete it or give the job another name"
        )

    async def _patch(self, namespace: str, patch: Patch) -> None:
        kind, ref = CHILDREN[patch.ref.kind], patch.ref
        body = {**patch.body, "metadata": {**patch.body.get("metadata", {}), "uid": ref.uid}}
        try:
            with self.metrics.write("patch", kind):
                answer = await self.client.patch(kind, namespace, ref.name, body)
        except ApiError as error:
            if error.status in CHANGED and not await self._is_still(kind, (namespace, ref.name), ref.uid):
                raise StaleError(f"{kind.name} {ref.name} is another one now") from error
            if error.status in REFUSALS:
                raise RefusedError(f"a change of {kind.name} {ref.name} was refused: {error.message}") from error
            raise
        self.store.put(kind, answer)

    async def _write_status(self, job: Object, status: Mapping[str, Any], version: str) -> bool:
        change = difference(job.get("status") or {}, status)
        if not change:
            return False
        metadata = job["metadata"]
        body = {"metadata": {"uid": metadata["uid"], "resourceVersion": version}, "status": change}
        place = place_of(job)
        try:
            with self.metrics.write("status", FINE_TUNE_JOB):
                answer = await self.client.patch(FINE_TUNE_JOB, *place, body, subresource="status")
        except ApiError as error:
            # 409: ours is the same one, but not as we know it.
            if error.status in CHANGED and (
                not await self._is_still(FINE_TUNE_JOB, place, metadata["uid"]) or error.status == 409
            ):
                raise StaleError("the FineTuneJob has changed meanwhile") from error
            raise
        self.store.put(FINE_TUNE_JOB, answer)
        return True

    async def _tell(self, job: Object, event: Event) -> None:
        name = events.event_name(job, event)
        if name in self.told:
            return
        manifest = events.event_manifest(job, event, now=self.now(), instance=self.instance)
        try:
            with self.metrics.write("create", EVENT):
                await self.client.create(EVENT, place_of(job)[0], manifest)
        except ApiError as error:
            # An event is a courtesy: what matters is in status, and a job isn't held up for a namespace's event quota.
            if error.status != 409:
                logger.warning("event %s could not be written: %s", event.reason, error)
        self.told[name] = None
        if len(self.told) > TOLD_EVENTS:
            self.told.popitem(last=False)

    async def _delete(self, kind: Kind, place: Place, uid: str) -> None:
        try:
            with self.metrics.write("delete", kind):
                answer = await self.client.delete(kind, *place, uid=uid)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            # It is gone; with 409 there is another of its name.
            self.store.remove(kind, place, uid)
            return
        if answer.get("kind") == kind.name:
            self.store.put(kind, answer)  # on its way: it has a deletionTimestamp
        else:
            self.store.remove(kind, place, uid)
        logger.info("deleted %s %s", kind.name, place[1])

    async def _is_still(self, kind: Kind, place: Place, uid: str) -> bool:
        """Whether the object of that place is this one; the store knows afterwards what it is."""
        found = await self._refresh(kind, place)
        if found is not None and found["metadata"]["uid"] == uid:
            return True
        self.store.remove(kind, place, uid)
        return False

    async def _refresh(self, kind: Kind, place: Place) -> Document | None:
        """Read one object anew into the store; None: there is none."""
        try:
            found = await self.client.get(kind.path(*place))
        except ApiError as error:
            if error.status != 404:
                raise
            entry = self.store.entry(kind, place)
            if entry is not None:
                self.store.remove(kind, place, entry.uid)
            return None
        if kind == FINE_TUNE_JOB or found["metadata"].get("labels", {}).get(MANAGED_BY_LABEL) == MANAGED_BY:
            self.store.put(kind, found)
        return found


def belongs(child: Mapping[str, Any], job: Object) -> bool:
    """Whether it is this job's: by its controller, or, where a job may leave it behind, by its label."""
    uid = job["metadata"]["uid"]
    metadata = child["metadata"]
    controllers = [owner["uid"] for owner in metadata.get("ownerReferences", []) if owner.get("controller")]
    return controllers == [uid] or (not controllers and metadata.get("labels", {}).get(JOB_UID_LABEL) == uid)
