"""Advice about the training data. Each function is one rule of the table in `rules`."""

from __future__ import annotations

from finetune_operator.sizing.advice.case import MANY_ROWS, Case
from finetune_operator.sizing.defaults import PACKING

PROMPT_BELOW = 100
"""Rows."""
FLOOR = 500
ENOUGH = 1000
LOST_SHARE = 0.01
"""Of the tokens; less is a few long rows."""
ROUND_TO = 64
"""Tokens; kernels work in tiles of that size."""
FEW_TO_HOLD_OUT = 50
"""Rows; a tenth of fewer says nothing."""
HELD_OUT, HELD_OUT_SHARE = 500, 0.1
"""Rows that tell a loss well enough, and of few rows what can be spared."""


def too_few_rows(case: Case) -> str | None:
    rows = case.data.rows
    # a toy can't be prompted instead, and the rows of plain text are documents, not examples
    if rows is None or rows >= ENOUGH or not case.large or case.plain_text:
        return None
    count = f"{rows:,} rows"
    if rows < PROMPT_BELOW:
        return (
            f"{count}: with under {PROMPT_BELOW}, a prompt that shows a few of them usually does as well and can be "
            "changed at once; where facts are missing, retrieve them; collect "
            f"{FLOOR} to {ENOUGH:,} rows before fine-tuning"
        )
    floor = f", and {FLOOR} are a floor" if rows < FLOOR else ""
    return (
        f"{count}: up to {ENOUGH:,}, a good prompt may do as well{floor}; measure both on the same held-out rows, "
        "and keep what is better"
    )


def sequence_cuts_data(case: Case) -> str | None:
    facts = case.data
    if not facts.lost_tokens or facts.tokens is None:
        return None
    share = facts.lost_tokens / (facts.lost_tokens + facts.tokens)
    if share <= LOST_SHARE:
        return None
    quality = case.spec.dataset.quality
    drops = quality is not None and quality.overlong == "drop"
    limit = f"training.maxSequenceLength{f' {case.length:,}' if case.length else ''}"
    text = f"{limit} {'drops rows with' if drops else 'cuts off'} {share:.0%} of all tokens ({facts.lost_tokens:,})"
    if not drops:
        text += f", which are the ends of {'documents' if case.plain_text else 'responses'}"
    return text + _longer(case)


def _longer(case: Case) -> str:
    """What to write instead, if that is known and the model can do it."""
    needed = case.data.p99_tokens
    if needed is None or (case.length is not None and needed <= case.length):
        return "; make it longer, or split the rows"
    longer = -(-needed // ROUND_TO) * ROUND_TO
    limit = case.architecture.max_positions if case.architecture is not None else None
    if limit is not None and longer > limit:
        return f"; 99 of 100 rows have at most {needed:,}, but the model can do {limit:,}: split the rows"
    return f"; 99 of 100 rows have at most {needed:,}: {longer} would hold them"


def sequence_too_long(case: Case) -> str | None:
    asked, longest = case.training.max_sequence_length, case.data.longest_tokens
    packing = PACKING if case.training.packing is None else case.training.packing
    if asked is None or not longest or packing:
        return None
    enough = -(-longest // ROUND_TO) * ROUND_TO
    if asked <= 2 * enough:
        return None
    return (
        f"training.maxSequenceLength {asked:,} is set aside in memory for every row, and the longest has "
        f"{longest:,} tokens: {enough} is enough, and leaves room for a larger micro-batch"
    )


def no_validation(case: Case) -> str | None:
    rows = case.data.rows or 0
    if case.spec.dataset.validation is not None or rows < FEW_TO_HOLD_OUT:
        return None
    share = max(0.0001, min(HELD_OUT_SHARE, HELD_OUT / rows))
    return (
        "no rows are held out, so nothing will tell learning from learning by heart: set dataset.validation, such as "
        f"{{fraction: {share:.1g}}}, and watch the validation loss"
    )


def facts_need_retrieval(case: Case) -> str | None:
    rows = case.data.rows
    if not case.plain_text or rows is None or rows >= MANY_ROWS:
        return None
    return (
        f"{rows:,} rows of plain text teach how texts of a field sound; a fact that stands there once is learnt "
        "unreliably: where answers must be right, give the model the passages with the question (RAG)"
    )


def estimated_tokens(case: Case) -> str | None:
    if not case.data.estimated or case.data.tokens is None or case.estimate is None:
        return None
    return f"the data's {case.data.tokens:,} tokens are estimated, not counted: time and cost are no more exact"
