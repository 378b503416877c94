"""What came of a run, in a few lines that a person can act on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from finetune_api.contract import Outcome, Result
from finetune_api.job import FineTuneJob
from finetune_operator.local.trainer import End
from finetune_operator.local.workdir import WorkDir
from finetune_operator.reconcile.retry import OUTCOMES


def summary(end: End, *, job: FineTuneJob, work: WorkDir, base: str, command: Sequence[str]) -> str:
    """`base` is what transformers loads the base model from, `command` what was typed."""
    again = shlex.join(command)
    if end.outcome is Outcome.SUCCEEDED and end.result is not None:
        return succeeded(end.result, job=job, work=work, base=base)
    said = end.result.message if end.result else OUTCOMES[end.outcome].why
    lines = [f"{end.outcome.value}: {said}"]
    if end.outcome is Outcome.INTERRUPTED:
        lines.append(f"go on with the same command: {again}")
    else:
        lines.append(f"the trainer's log: {work.log}")
    return "\n".join(lines)


def succeeded(result: Result, *, job: FineTuneJob, work: WorkDir, base: str) -> str:
    """The result, what it is worth, where it lies, and how it is loaded."""
    lines = [f"{job.metadata.name}: {result.message}"]
    for output in result.outputs:
        lines.append(f"{output.kind}: {output.uri} ({output.size_bytes / 1e6:.1f} MB, {output.digest})")
    load = f'AutoModelForCausalLM.from_pretrained("{base}")'
    if any(output.kind == "adapter" for output in result.outputs):
        lines.append("load it with transformers and peft:")
        lines.append(f'  PeftModel.from_pretrained({load}, "{work.output}")')
    else:
        lines.append("load it with transformers:")
        lines.append(f'  AutoModelForCausalLM.from_pretrained("{work.output}")')
    return "\n".join(lines)
