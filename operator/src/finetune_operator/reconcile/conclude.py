"""The end of an attempt, and of the job: what is written down, and what follows."""

from __future__ import annotations

from finetune_api.conditions import Type
from finetune_api.contract import Outcome, Result
from finetune_api.spec.resources import RetrySpec
from finetune_api.status import Advice, Attempt, Metrics, Progress
from finetune_operator.reconcile import retry, usage
from finetune_operator.reconcile.draft import Draft, Step
from finetune_operator.reconcile.ended import End
from finetune_operator.reconcile.finished import remove_unfinished_jobs
from finetune_operator.reconcile.plan import Event
from finetune_operator.reconcile.pod_state import Ended
from finetune_operator.sizing import defaults

MESSAGE_LIMIT = 1500
"""Characters of an attempt's message: as many as the contract has, though a Job's or a log's may be longer."""
MEMORY_ADVICE = Advice(
    code="OutOfGPUMemory",
    message="even one sequence at a time does not fit: lower training.maxSequenceLength, set "
    "training.gradientCheckpointing: true, use method qlora, or ask for an accelerator with more memory",
)


def end_attempt(draft: Draft, attempt: Attempt, end: End, *, pod: Ended | None = None) -> None:
    """Write down how an attempt ended."""
    finished = end.finished or draft.now
    usage.book_end(draft, attempt, pod, finished=finished)
    resumed = end.result.resumed_from_step if end.result is not None else None
    draft.replace(
        attempt,
        finish_time=finished,
        outcome=str(end.outcome),
        reason=end.reason or str(end.outcome),
        message=end.message[:MESSAGE_LIMIT],
        resumed_from_step=resumed if resumed is not None else attempt.resumed_from_step,
        furthest_step=_furthest(draft, attempt, end.result),
    )
    if end.result is not None:
        _take_result(draft, end.result)
    if end.outcome is Outcome.SUCCEEDED:
        draft.progress = _all_done(draft.progress or Progress(), end.result)


def conclude(draft: Draft) -> Step:
    """When the newest attempt has ended: finish, fail, or leave the rest to the next attempt."""
    newest = draft.newest
    if newest is None or newest.finish_time is None:
        return Step.GO_ON
    remove_unfinished_jobs(draft)
    patience = draft.settings.limits.interruptions_without_progress
    verdict = retry.after(draft.attempts, limit=attempt_limit(draft), patience=patience)
    if verdict.action is retry.Action.FINISH:
        _succeed(draft, newest)
        return Step.DONE
    if verdict.action is retry.Action.STOP:
        why = retry.OUTCOMES[retry.read_outcome(newest.outcome)].why
        message = newest.message or why
        if verdict.why != why:
            more = verdict.why.removeprefix(f"{why}; ") if why in message else verdict.why
            message = f"{message}; {more}"
        if newest.outcome == Outcome.OUT_OF_GPU_MEMORY and (newest.micro_batch_size or 1) <= 1:
            draft.advice = [MEMORY_ADVICE, *(advice for advice in draft.advice or () if advice != MEMORY_ADVICE)]
            message = f"{message}; {MEMORY_ADVICE.message}"
        fail(draft, newest.outcome or "Unknown", message)
        return Step.DONE
    _tell_retry(draft, newest, verdict)
    draft.phase = "Pending"
    draft.conditions.set(Type.TRAINED, False, newest.outcome or "Unknown", newest.message or verdict.why)
    return Step.GO_ON


def fail(draft: Draft, reason: str, message: str) -> None:
    """End the job without a result."""
    draft.phase = "Failed"
    draft.completion_time = draft.now
    draft.poll = None
    draft.conditions.set(Type.RECONCILING, False, reason)
    draft.conditions.set(Type.STALLED, True, reason, message)
    draft.conditions.set(Type.FAILED, True, reason, message)
    draft.conditions.set(Type.COMPLETE, False, reason, message)
    if not draft.conditions.is_true(Type.TRAINED):
        draft.conditions.set(Type.TRAINED, False, reason, message)
    draft.tell(Event("Warning", reason, message))
    remove_unfinished_jobs(draft)


def attempt_limit(draft: Draft) -> int:
    """spec.retry.maxAttempts, or what it is when left out."""
    asked = (draft.job.spec.retry or RetrySpec()).max_attempts
    return defaults.MAX_ATTEMPTS if asked is None else asked


def _succeed(draft: Draft, attempt: Attempt) -> None:
    draft.phase = "Succeeded"
    draft.completion_time = attempt.finish_time
    where = ", ".join(output.uri for output in draft.outputs or ()) or "the job's volume"
    message = f"the result is verified: {where}"
    measured = draft.metrics is not None and draft.metrics.eval_loss is not None
    conditions = draft.conditions
    conditions.set(Type.RECONCILING, False, "Succeeded")
    conditions.set(Type.STALLED, False, "Succeeded")
    conditions.set(Type.ADMITTED, True, "Finished")
    conditions.set(Type.SUSPENDED, False, "Finished")
    conditions.set(Type.TRAINED, True, "Succeeded", attempt.message or "")
    if measured:
        conditions.set(Type.EVALUATED, True, "Succeeded", "measured on the validation rows: status.metrics")
    else:
        conditions.set(Type.EVALUATED, False, "NotAskedFor", "spec.dataset.validation is left out")
    conditions.set(Type.EXPORTED, True, "Succeeded", message)
    conditions.set(Type.FAILED, False, "Succeeded")
    conditions.set(Type.COMPLETE, True, "Succeeded", message)


def _tell_retry(draft: Draft, attempt: Attempt, verdict: retry.Verdict) -> None:
    if draft.stood_before(attempt):
        return
    message = f"attempt {attempt.number} ended: {attempt.message or verdict.why}; next: {verdict.action.value}"
    draft.tell(Event("Warning", "Retrying", message, about=f"attempt {attempt.number}"))


def _furthest(draft: Draft, attempt: Attempt, result: Result | None) -> int | None:
    known = (
        attempt.furthest_step,
        result.step if result is not None else None,
        draft.progress.step if draft.progress is not None else None,
    )
    return max((step for step in known if step is not None), default=None)


def _take_result(draft: Draft, result: Result) -> None:
    if result.resolved is not None:
        draft.resolved = result.resolved
    if result.metrics is not None:
        draft.metrics = result.metrics
    if result.outputs:
        draft.outputs = list(result.outputs)


def _all_done(seen: Progress, result: Result | None) -> Progress:
    """As it is at the end: the last look may have been long before. What was true of an earlier step alone is left."""
    step = result.step if result is not None and result.step is not None else seen.max_steps or seen.step
    metrics = (result.metrics if result is not None else None) or Metrics()
    last = seen if seen.step == step else Progress()
    return Progress(
        stage="Done",
        step=step,
        max_steps=step,
        percent=100,
        epoch=_first(metrics.epochs, last.epoch),
        loss=_first(metrics.final_loss, last.loss),
        eval_loss=_first(metrics.eval_loss, last.eval_loss),
        last_heartbeat_time=seen.last_heartbeat_time,
    )


def _first(*numbers: float | None) -> float | None:
    return next((number for number in numbers if number is not None), None)
