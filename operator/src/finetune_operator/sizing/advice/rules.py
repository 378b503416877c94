"""The rules of advice: one table, the most important first. None refuses anything; each says its reason.

The figures are those that guides to fine-tuning agree on. Where a paper measured the reason, it is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from finetune_api.status import Advice
from finetune_operator.sizing.advice import data, settings
from finetune_operator.sizing.advice.case import Case


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that may be worth changing."""

    code: str
    when: str
    """For the documents: when it is said."""
    reason: str
    """For the documents: why."""
    says: Callable[[Case], str | None]
    """The sentence; None: nothing to say, or what it needs is not known."""


RULES = (
    Rule(
        "TooFewRows",
        "under 1,000 rows, which are not plain text",
        "below 100 a prompt with examples does as well and costs nothing; up to 1,000 it has to be tried; "
        "a fine-tuned model learns form and tone, not facts",
        data.too_few_rows,
    ),
    Rule(
        "FullWhereLoRA",
        "full fine-tuning with under 100,000 rows, or of an unknown number that are not plain text",
        "it forgets more of what the model could do (Biderman et al. 2024, arXiv:2405.09673) and needs six times the "
        "memory a weight",
        settings.full_where_lora,
    ),
    Rule(
        "QuantizesLittle",
        "qlora of a mixture of experts of which under half can be in 4 bits",
        "experts are bare parameters, which bitsandbytes leaves in 16 bits; the rest loses exactness and time for "
        "little memory",
        settings.quantizes_little,
    ),
    Rule(
        "SequenceCutsData",
        "over 1% of the tokens are past maxSequenceLength",
        "what is cut is the end of responses",
        data.sequence_cuts_data,
    ),
    Rule(
        "LearningRateOutside",
        "outside 1e-4 to 3e-4 for adapters, 1e-5 to 5e-5 for full; models over 100 million parameters",
        "a higher one diverges or forgets, a lower one learns nothing in a few epochs; adapters start at zero and need "
        "ten times that of full fine-tuning",
        settings.learning_rate_outside,
    ),
    Rule(
        "TooManyEpochs",
        "over 5 passes over the data, or over 3 with under 1,000 rows",
        "large models learn rows by heart within a few passes",
        settings.too_many_epochs,
    ),
    Rule(
        "ShortRun",
        "under 20 optimizer steps",
        "the learning rate has hardly risen when it falls again",
        settings.short_run,
    ),
    Rule(
        "NoValidation",
        "no held-out rows, and 50 rows or more",
        "without them nothing tells learning from learning by heart",
        data.no_validation,
    ),
    Rule(
        "RankForData",
        "rank over 64 with under 100,000 rows, or from 32 on with under 1,000",
        "more weights than the rows can teach overfit",
        settings.rank_for_data,
    ),
    Rule(
        "BatchOutside",
        "an effective batch outside 8 to 32; a small one not where 8 would make a short run",
        "a smaller one is noisy; a larger one makes few steps of the data",
        settings.batch_outside,
    ),
    Rule(
        "WarmupOutside",
        "a warmup that was set, outside 50 to 100 steps and outside 3% to 10% of the run, or for the scheduler "
        "constant, which has none",
        "too short a rise makes the loss jump at the start; too long a one wastes steps",
        settings.warmup_outside,
    ),
    Rule(
        "FactsNeedRetrieval",
        "format text, and under 100,000 rows",
        "plain text teaches how texts sound; a fact has to be met in many wordings to be learnt (Ovadia et al. 2023, "
        "arXiv:2312.05934)",
        data.facts_need_retrieval,
    ),
    Rule(
        "SequenceTooLong",
        "maxSequenceLength was set to over twice what the longest row needs, without packing",
        "memory is set aside for sequences that never come",
        data.sequence_too_long,
    ),
    Rule(
        "CheckpointsTakeLong",
        "checkpoints take over a tenth of the time",
        "full fine-tuning writes ten bytes a parameter each time",
        settings.checkpoints_take_long,
    ),
    Rule(
        "EstimatedTokens",
        "time is predicted from tokens that were estimated, not counted",
        "time and cost are as rough as the estimate",
        data.estimated_tokens,
    ),
    Rule(
        "PricesOld",
        "the price in the hardware table is over a year old",
        "the cost is rough",
        settings.prices_old,
    ),
)


def advise(case: Case) -> list[Advice]:
    """What may be worth changing, the most important first, at most once a rule."""
    said = ((rule.code, rule.says(case)) for rule in RULES)
    return [Advice(code=code, message=message) for code, message in said if message is not None]
