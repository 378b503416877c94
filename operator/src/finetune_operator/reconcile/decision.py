"""The whole decision about a job, in the order in which it lives through it."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from finetune_api.conditions import Type
from finetune_api.job import FineTuneJob
from finetune_operator.reconcile.attempts import adopt, start
from finetune_operator.reconcile.conclude import conclude, fail
from finetune_operator.reconcile.deadlines import active_deadline
from finetune_operator.reconcile.draft import Draft, Step
from finetune_operator.reconcile.finished import finished, over
from finetune_operator.reconcile.follow import follow
from finetune_operator.reconcile.inspect import inspect
from finetune_operator.reconcile.plan import Observed, Plan
from finetune_operator.reconcile.rivals import rivals
from finetune_operator.reconcile.size import size
from finetune_operator.reconcile.status import read_status
from finetune_operator.reconcile.suspend import suspend
from finetune_operator.reconcile.tell import tell
from finetune_operator.reconcile.validate import explain, validate, without_spec
from finetune_operator.settings import Settings

# The first policy that is done with the job ends the decision.
STORY = (finished, validate, rivals, inspect, size, adopt, follow, conclude, active_deadline, suspend, start)


def reconcile(seen: Observed, *, now: datetime, settings: Settings) -> Plan:
    """What is to be done for one job now. Pure: the same input gives the same plan, and a plan that was carried out
    leaves nothing to do but wait. Never raises for what a user has written.
    """
    if seen.job["metadata"].get("deletionTimestamp"):
        return Plan()  # owner references clean up
    now = now.replace(microsecond=0)  # status has whole seconds
    before = read_status(seen.job)
    try:
        job = FineTuneJob.from_object(dict(seen.job))
    except ValidationError as error:
        draft = Draft.begin(without_spec(seen.job), seen, before, now=now, settings=settings)
        if not over(draft):
            fail(draft, "InvalidSpec", explain(error))
        return draft.plan()
    draft = Draft.begin(job, seen, before, now=now, settings=settings)
    if not over(draft):
        draft.conditions.set(Type.STALLED, False, "Progressing")
    for policy in STORY:
        if policy(draft) is Step.DONE:
            break
    tell(draft)
    return draft.plan()
