"""alpaca: instruction, input (may be absent or empty), output, and sometimes system."""

from __future__ import annotations

from finetune_trainer.data.example import Chat, Example, Passage
from finetune_trainer.data.formats.shape import Format, Wanted
from finetune_trainer.data.row import EmptyResponseError, Row

# The wording that Stanford Alpaca was trained with, and most of what came after it: a base model without a chat
# template is best met with the prompt that others will use.
_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
)
_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
)


def convert(row: Row, wanted: Wanted) -> Example:
    """A user's turn and its answer; without a chat template the classic text."""
    instruction, given, output = row.text("instruction"), row.text_if_any("input"), _output(row)
    system = row.text_if_any("system")
    if wanted.chat:
        question = f"{instruction}\n\n{given}" if given.strip() else instruction
        first = [{"role": "system", "content": system}] if system.strip() else []
        return Chat([*first, {"role": "user", "content": question}, {"role": "assistant", "content": output}])
    prompt = _prompt(instruction, given)
    prompt = f"{system}\n\n{prompt}" if system.strip() else prompt
    text = prompt + output
    return Passage(text, ((0 if wanted.train_on == "all" else len(prompt), len(text)),))


def _prompt(instruction: str, given: str) -> str:
    if given.strip():
        return f"{_WITH_INPUT}### Instruction:\n{instruction}\n\n### Input:\n{given}\n\n### Response:\n"
    return f"{_WITHOUT_INPUT}### Instruction:\n{instruction}\n\n### Response:\n"


def _output(row: Row) -> str:
    if "output" in row.fields and row.fields["output"] is None:
        raise EmptyResponseError('"output" is null')
    output = row.text("output")
    if not output.strip():
        raise EmptyResponseError('"output" is empty')
    return output


ALPACA = Format("alpaca", ("instruction", "output"), convert)
