"""From exit codes, kubelet's words and termination messages to an outcome."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finetune_api.contract import EXIT_CODES, Outcome
from finetune_operator.reconcile.ended import JobEnd, how_it_ended, job_end, last_pod
from finetune_operator.reconcile.pod_state import Ended, pod_state
from finetune_operator.reconcile.retry import Cause
from tests.finetune_operator.reconcile.objects import START

FAILED = JobEnd(
    complete=False, message="Container trainer for pod a/b failed with exit code 80 matching ...", when=START
)
COMPLETE = JobEnd(complete=True, message="", when=START)


def ended(code: int | None, *, message: str = "", reason: str = "Error") -> Ended:
    return Ended(code, reason, message, START, START, interrupted=False, deleted=False)


def said(outcome: Outcome, **more: Any) -> str:
    return json.dumps({"outcome": outcome, "reason": "Because", "message": "it says", **more})


@pytest.mark.parametrize(
    ("pod", "outcome", "message"),
    [
        (ended(65, message=said(Outcome.BAD_DATA)), Outcome.BAD_DATA, "it says"),
        (ended(70, message="Traceback\n  File x\nValueError: no"), Outcome.INTERNAL, "ValueError: no"),
        (ended(1, message="python: not found"), Outcome.INTERNAL, "(exit code 1): python: not found"),
        (ended(80), Outcome.OUT_OF_GPU_MEMORY, "(exit code 80)"),
        (ended(137), Cause.KILLED, "(exit code 137)"),
        (ended(143), Cause.KILLED, "(exit code 143)"),
        (ended(137, reason="OOMKilled"), Cause.HOST_OUT_OF_MEMORY, "spec.resources.memory"),
        # The kernel killed it while it was writing something else.
        (
            ended(137, reason="OOMKilled", message=said(Outcome.INTERNAL)),
            Cause.HOST_OUT_OF_MEMORY,
            "out of host memory",
        ),
        # A message of success with a code of failure: the code is what the Job went by.
        (ended(70, message=said(Outcome.SUCCEEDED)), Outcome.INTERNAL, "(exit code 70): its message claims success"),
        (ended(1, message=said(Outcome.SUCCEEDED)), Outcome.INTERNAL, "(exit code 1): its message claims success"),
        # An outcome of a later version: its code speaks, and its words are shown.
        (
            ended(75, message=json.dumps({"outcome": "Bewitched", "reason": "R", "message": "it says"})),
            Outcome.TRANSIENT,
            "(exit code 75): it says",
        ),
        (ended(None, reason="UnexpectedAdmissionError", message="no GPU left"), Cause.NODE_LOST, "no GPU left"),
        (None, Outcome.OUT_OF_GPU_MEMORY, "failed with exit code 80"),
    ],
)
def test_a_failed_job(pod: Ended | None, outcome: Outcome | Cause, message: str) -> None:
    end = how_it_ended(FAILED, pod)
    assert end.outcome is outcome
    assert message in end.message


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.SUCCEEDED])
def test_every_exit_code_of_the_contract_is_known_without_a_pod(outcome: Outcome) -> None:
    message = (
        f"Container trainer for pod a/b failed with exit code {EXIT_CODES[outcome]} matching FailJob rule at index 2"
    )
    assert how_it_ended(JobEnd(complete=False, message=message, when=START), None).outcome is outcome


def test_a_failed_job_that_nothing_is_known_of() -> None:
    end = how_it_ended(
        JobEnd(complete=False, message="Job was active longer than specified deadline", when=START), None
    )
    assert end.outcome is Cause.UNKNOWN
    assert end.message == "Job was active longer than specified deadline"


@pytest.mark.parametrize("message", ["", "half of a {"])
def test_exit_code_0_is_a_promise_even_when_its_message_is_lost(message: str) -> None:
    end = how_it_ended(COMPLETE, ended(0, message=message))
    assert end.outcome is Outcome.SUCCEEDED
    assert end.reason == "ResultLost"
    assert end.result is None


def test_exit_code_0_with_a_message_of_failure_is_a_failure() -> None:
    """As of an image whose entry point is a shell script that ends with another command."""
    end = how_it_ended(COMPLETE, ended(0, message=said(Outcome.BAD_DATA)))
    assert end.outcome is Outcome.BAD_DATA
    assert end.message == "it says"


def test_the_pod_that_counts_is_not_one_that_was_interrupted() -> None:
    interrupted = Ended(82, "Error", "", START, START, interrupted=True, deleted=False)
    assert last_pod(FAILED, [interrupted, ended(65), interrupted]) == ended(65)
    assert last_pod(COMPLETE, [interrupted, ended(0)]) == ended(0)
    assert last_pod(FAILED, [interrupted]) is None


@pytest.mark.parametrize(
    ("conditions", "complete"),
    [
        ([], None),
        ([{"type": "SuccessCriteriaMet", "status": "True"}], None),
        ([{"type": "FailureTarget", "status": "True"}], None),  # its pods still stop
        ([{"type": "Suspended", "status": "True"}], None),
        ([{"type": "Complete", "status": "False"}], None),
        ([{"type": "FailureTarget", "status": "True"}, {"type": "Failed", "status": "True"}], False),
        ([{"type": "Complete", "status": "True"}], True),
    ],
)
def test_a_jobs_end(conditions: list[dict[str, str]], complete: bool | None) -> None:
    end = job_end({"status": {"conditions": conditions}})
    assert (end.complete if end is not None else None) is complete


def test_a_termination_message_in_last_state() -> None:
    last = {"terminated": {"exitCode": 65, "message": said(Outcome.BAD_DATA), "finishedAt": "2026-01-01T12:00:00Z"}}
    status = {"phase": "Failed", "containerStatuses": [{"name": "trainer", "state": {}, "lastState": last}]}
    state = pod_state({"metadata": {"name": "p"}, "status": status}, ())
    assert isinstance(state, Ended)
    assert how_it_ended(FAILED, state).message == "it says"
