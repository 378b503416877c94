"""Before a job is sized: a small pod reads its model and its data, so that what is wrong with them costs no GPU.

It is one Job whose pods the Job controller makes anew after failures that may pass. What it found stands in status
before the first attempt is made, and is never asked for again.
"""

from __future__ import annotations

from finetune_api.conditions import Type
from finetune_api.contract import Outcome, TrainerConfig
from finetune_api.inspection import Inspection
from finetune_api.job import FineTuneJob
from finetune_api.names import inspect_name
from finetune_api.status import Sizing
from finetune_operator.children.config_map import inspect_config_map
from finetune_operator.children.inspect_job import inspect_job
from finetune_operator.reconcile import waiting
from finetune_operator.reconcile.conclude import fail
from finetune_operator.reconcile.draft import Draft, Step, is_child
from finetune_operator.reconcile.ended import End, how_it_ended, job_end, last_pod, of_pod
from finetune_operator.reconcile.follow import NO_POD, SETTLE
from finetune_operator.reconcile.plan import Event, Object
from finetune_operator.reconcile.pod_state import Creating, Ended, Lost, PodState, Refused, Unscheduled, pod_state
from finetune_operator.reconcile.resolve import paths_in_cluster, trainer_config
from finetune_operator.reconcile.retry import OUTCOMES, Action, Cause
from finetune_operator.reconcile.status import read_time
from finetune_operator.reconcile.suspend import suspend
from finetune_operator.sizing.choice.eligible import named
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.hardware import CPU, UnknownAccelerator
from finetune_operator.sizing.models.catalogue import lookup

MESSAGE_LIMIT = 1500
"""Characters of `Inspection.failure`."""
GIVE_SHAPE = "or give the model's shape in spec.model.architecture, with which the job goes on without reading it"
MEMORY = (
    "the pod that reads the inputs ran out of memory; a larger setting inspect.memory of the operator gives it more"
)


def inspect(draft: Draft) -> Step:
    """Fill status.inspection before the job is sized, or fail where the inputs can't be trained with.

    A job that has begun was sized with what was known then: what the pod found is still taken, and not waited for.
    """
    if draft.inspection is not None:
        return Step.GO_ON
    child = draft.inspect_job()
    states = [pod_state(pod, draft.seen.nodes) for pod in draft.inspect_pods()]
    end = _end(draft, child, states) if child is not None else None
    if draft.begun:
        _take(draft, end)
        return Step.GO_ON
    if end is not None and child is not None:
        return _conclude(draft, child, end)
    if suspend(draft) is Step.DONE:
        draft.conditions.set(Type.SIZED, None, "Suspended")
        return Step.DONE
    draft.phase = "Pending"
    if child is None and (error := _no_such_kind(draft)) is not None:
        return _fail(draft, "NothingFits", error)
    draft.conditions.set(Type.SIZED, None, "Inspecting", "a pod reads the model and the data")
    over = _wait(draft, child, states)
    if over is not None and child is not None:
        return _conclude(draft, child, over)
    sized = draft.conditions.of(Type.SIZED)
    draft.conditions.set(Type.RECONCILING, True, sized.reason, sized.message)
    return Step.DONE


def _end(draft: Draft, child: Object, states: list[PodState]) -> End | None:
    """How the Job ended; None: it has not, or its last pod is yet to be seen."""
    end = job_end(child)
    if end is None:
        return None
    pod = last_pod(end, states)
    settled = (end.when or draft.now) + SETTLE
    if pod is None and draft.now < settled:
        draft.again_at(settled)
        return None
    return how_it_ended(end, pod)


def _take(draft: Draft, end: End | None) -> bool:
    """Keep what was found. False: nothing was."""
    if end is None or end.result is None or end.result.inspection is None:
        return False
    draft.inspection = end.result.inspection
    draft.resolved = end.result.resolved or draft.resolved
    return True


def _conclude(draft: Draft, child: Object, end: End) -> Step:
    if _take(draft, end):
        return Step.GO_ON
    if end.outcome is Outcome.SUCCEEDED:
        if end.result is None and not draft.inspect_pods():
            # Its word went with its pod, as when a node was taken away.
            draft.remove("Job", child)
            return Step.DONE
        end = End(Cause.UNKNOWN, "the pod that reads the inputs ended without a word of them: is it another image?")
    message = _message(end)
    if OUTCOMES[end.outcome].action is Action.STOP:
        return _fail(draft, end.outcome, message)
    if draft.job.spec.model.architecture is None and lookup(draft.job.spec.model.source) is None:
        return _fail(draft, end.outcome, f"{message}; try again later, {GIVE_SHAPE}")
    draft.inspection = Inspection(failure=message[:MESSAGE_LIMIT])
    draft.tell(Event("Warning", "NotInspected", f"the job goes on without having read its inputs: {message}"))
    return Step.GO_ON


def _fail(draft: Draft, reason: str, message: str) -> Step:
    draft.conditions.set(Type.SIZED, False, reason, message)
    fail(draft, reason, message)
    return Step.DONE


def _no_such_kind(draft: Draft) -> str | None:
    """What no input can change is said before any is read."""
    asked = draft.job.spec.resources.accelerator if draft.job.spec.resources is not None else None
    if asked is None:
        return None
    try:
        named(asked, draft.seen.hardware)
    except SizingError as error:
        kinds = (kind for node in draft.seen.nodes for kind in draft.seen.hardware.kinds_of_node(node))
        unknown = {kind.value: kind for kind in kinds if isinstance(kind, UnknownAccelerator)}
        return "; ".join([str(error), *map(str, unknown.values())])
    return None


def _message(end: End) -> str:
    """The trainer's own words of memory and of checkpoints are about training, which this pod does not do."""
    if end.outcome is Outcome.INTERRUPTED:
        return "the pod that reads the inputs was taken away"
    out_of_memory = end.outcome is Cause.HOST_OUT_OF_MEMORY or end.reason == "OutOfHostMemory"
    return MEMORY if out_of_memory else end.message


def _wait(draft: Draft, child: Object | None, states: list[PodState]) -> End | None:
    """Make what is not there, and say what is waited for; an End where it has to be given up."""
    if draft.seen.refusal is not None:
        _say(draft, "Refused", draft.seen.refusal)
        return None
    if (left := _left_by_another(draft)) is not None:
        _say(draft, "EarlierJob", f"waiting for what an earlier job of this name left to be gone: {left}")
        return None
    if child is None or job_end(child) is None:
        _create(draft, child)
    _tell_failure(draft, states)
    match states[-1] if states else None:
        case None:
            _no_pod(draft, child)
        case Unscheduled(message) if message:
            _say(draft, "Unschedulable", message)
        case Creating() as state:
            _creating(draft, state)
            return waiting.not_started(draft, state)
        case Refused() as state:
            reason = waiting.reason_of(state)
            _say(draft, reason, waiting.first_said(draft, Type.SIZED, reason, state.message))
            return waiting.not_started(draft, state, said=draft.conditions.of(Type.SIZED).message)
        case Lost(node=node) if child is not None:
            # It writes nothing that outlives it, so that nobody has to know whether it still runs.
            _say(draft, "NodeLost", f"node {node} does not answer; another pod reads the model and the data")
            draft.remove("Job", child)
        case _:
            pass
    return None


def _create(draft: Draft, child: Object | None) -> None:
    name = inspect_name(draft.job.metadata.name)
    if name not in {each["metadata"]["name"] for each in draft.seen.config_maps}:
        draft.create.append(inspect_config_map(draft.job, inspect_config(draft.job)))
    if child is None:
        resources = {row.resource for row in draft.seen.hardware if row.resource is not None}
        draft.create.append(inspect_job(draft.job, draft.settings, resources=resources))


def inspect_config(job: FineTuneJob) -> TrainerConfig:
    """What the pod is told: the configuration of training, as far as inputs depend on it."""
    config = trainer_config(
        job,
        paths=paths_in_cluster(job),
        sizing=Sizing(accelerator=CPU, count=0, nodes=1),
        attempt=1,
        micro_batch_size=1,
    )
    output = config.output.model_copy(update={"destinations": []})
    return config.model_copy(update={"task": "inspect", "output": output})


def _tell_failure(draft: Draft, states: list[PodState]) -> None:
    """The last pod's failure is said until the next one's end: it tells what the job waits for."""
    failed = next((state for state in reversed(states) if isinstance(state, Ended) and state.exit_code != 0), None)
    end = of_pod(failed) if failed is not None else None
    if end is not None and OUTCOMES[end.outcome].action is not Action.STOP:
        _say(draft, end.outcome, f"{_message(end)}; it is tried again")


def _creating(draft: Draft, state: Creating) -> None:
    """Nothing is wrong yet, but after a while it is not true any more that it reads. What is known may be worse."""
    if state.since is None or draft.conditions.of(Type.SIZED).reason != "Inspecting":
        return
    if draft.now < state.since + NO_POD:
        draft.again_at(state.since + NO_POD)
        return
    message = f"the pod that is to read the model and the data is being created: {waiting.look_at(state)}"
    draft.conditions.set(Type.SIZED, None, "Inspecting", message)


def _no_pod(draft: Draft, child: Object | None) -> None:
    since = read_time((child.get("status") or {}).get("startTime")) if child is not None else None
    if child is None or since is None or child["spec"].get("suspend"):
        return
    name = child["metadata"]["name"]
    if (child.get("status") or {}).get("failed"):
        # Its controller waits longer and longer before it makes the next one.
        message = f"the pod that read the inputs is gone; Job {name} makes another within minutes"
        _say(draft, "Interrupted", f"{message}, or kubectl describe job {name} says why not")
        return
    if draft.now < since + NO_POD:
        draft.again_at(since + NO_POD)
        return
    _say(draft, "NoPod", f"Job {name} has no pod: kubectl describe job {name} says why, such as a quota")


def _left_by_another(draft: Draft) -> str | None:
    """A child of an earlier job of the same name that has the name we need, or one of ours that is being deleted."""
    name = inspect_name(draft.job.metadata.name)
    for kind, children in (("Job", draft.seen.jobs), ("ConfigMap", draft.seen.config_maps)):
        for each in children:
            ours = is_child(each, draft.job) and not each["metadata"].get("deletionTimestamp")
            if each["metadata"]["name"] == name and not ours:
                return f"{kind} {name}"
    return None


def _say(draft: Draft, reason: str, message: str) -> None:
    draft.conditions.set(Type.SIZED, False, reason, message)
