"""How ranks ended -> exit code and result."""

from __future__ import annotations

import json
import signal

import pytest

from finetune_api.contract import EXIT_CODES, TERMINATION_LIMIT_BYTES, Outcome, Result
from finetune_api.status import Output
from finetune_trainer.verdict import Circumstances, Ended, termination_message, verdict


def said(outcome: Outcome, rank: int = 0) -> Ended:
    result = Result(outcome=outcome, reason="R", message=f"rank {rank}")
    return Ended(rank, EXIT_CODES[outcome], result)


DONE, OOM, STOPPED = said(Outcome.SUCCEEDED), said(Outcome.OUT_OF_GPU_MEMORY), said(Outcome.INTERRUPTED)
KILLED, CRASHED, TORN = Ended(0, -signal.SIGKILL, None), Ended(0, -signal.SIGSEGV, None), Ended(0, 1, None)
TERM = Circumstances(terminated=True)
FOLLOWED = Ended(1, -signal.SIGKILL, None)


@pytest.mark.parametrize(
    ("ended", "seen", "code", "outcome", "says"),
    [
        ([DONE], Circumstances(), 0, Outcome.SUCCEEDED, "rank 0"),
        ([said(Outcome.SUCCEEDED, 1), DONE], Circumstances(), 0, Outcome.SUCCEEDED, "rank 0"),
        ([OOM], Circumstances(), 80, Outcome.OUT_OF_GPU_MEMORY, "rank 0"),
        ([said(Outcome.DIVERGED, 1), KILLED], Circumstances(), 81, Outcome.DIVERGED, "rank 1"),
        ([OOM, FOLLOWED], Circumstances(), 80, Outcome.OUT_OF_GPU_MEMORY, "rank 0"),
        # never 0 after SIGTERM
        ([DONE], TERM, 82, Outcome.INTERRUPTED, "before the first checkpoint"),
        ([DONE], Circumstances(terminated=True, last_step=9), 82, Outcome.INTERRUPTED, "step 9 is complete"),
        ([STOPPED], TERM, 82, Outcome.INTERRUPTED, "rank 0"),
        ([KILLED], TERM, 82, Outcome.INTERRUPTED, "SIGTERM"),
        ([OOM], TERM, 80, Outcome.OUT_OF_GPU_MEMORY, "rank 0"),
        # host memory is not GPU memory
        ([KILLED], Circumstances(), 137, Outcome.TRANSIENT, "most likely"),
        ([KILLED], Circumstances(host_oom=True), 137, Outcome.TRANSIENT, "memory limit"),
        ([CRASHED], Circumstances(), 70, Outcome.INTERNAL, "SIGSEGV"),
        ([TORN], Circumstances(), 70, Outcome.INTERNAL, "exit code 1"),
        ([Ended(0, 0, None)], Circumstances(), 70, Outcome.INTERNAL, "without a result"),
        ([KILLED], Circumstances(stalled="no sign of life"), 83, Outcome.STALLED, "no sign of life"),
    ],
)
def test_verdict(ended: list[Ended], seen: Circumstances, code: int, outcome: Outcome, says: str) -> None:
    found = verdict(ended, seen)
    assert (found.exit_code, found.result.outcome) == (code, outcome)
    assert says in found.result.message


@pytest.mark.parametrize("character", ["x", "ü", "\n", "漢"])
@pytest.mark.parametrize("outputs", [0, 3, 40])
def test_the_termination_message_fits(character: str, outputs: int) -> None:
    output = Output(kind="adapter", uri="pvc://" + "u" * 200, digest="sha256:" + "0" * 64, size_bytes=1 << 40)
    result = Result(outcome=Outcome.SUCCEEDED, reason="Succeeded", message=character * 1500, outputs=[output] * outputs)
    message = termination_message(result)
    assert len(message) <= TERMINATION_LIMIT_BYTES
    content = json.loads(message)
    assert content["outcome"] == "Succeeded"
    assert bool(content["outputs"]) == bool(outputs)
