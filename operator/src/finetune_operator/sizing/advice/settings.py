"""Advice about hyperparameters, checkpoints and prices. Each function is one rule of the table in `rules`."""

from __future__ import annotations

import math

from finetune_operator.sizing import defaults
from finetune_operator.sizing.advice.case import MANY_ROWS, Case
from finetune_operator.sizing.defaults import CHECKPOINT_INTERVAL_SECONDS
from finetune_operator.sizing.hardware.table import STALE
from finetune_operator.sizing.memory.weights import BYTES

ADAPTER_RATES = (1e-4, 3e-4)
FULL_RATES = (1e-5, 5e-5)
MANY_EPOCHS = 5.0
MANY_EPOCHS_FEW_ROWS = 3.0
FEW_ROWS = 1000
BATCHES = (8, 32)
"""Examples."""
HIGH_RANK = 64
HIGH_RANK_FEW_ROWS = 32
WARMUP_STEPS = (50, 100)
WARMUP_SHARES = (0.03, 0.1)
QUANTIZED_SHARE = 0.5
"""Of the parameters. Half of them in 4 bits are 37% less than 16 bits for all."""
SAVED = 1 - BYTES["nf4-dq"] / 2
"""Of the memory of a 16-bit weight, by NF4 with double quantisation."""
SHORT = 20
"""Optimizer steps."""
CHECKPOINT_SHARE = 0.1
"""Of the time of training and checkpoints."""


def full_where_lora(case: Case) -> str | None:
    if case.spec.method != "full" or not case.large or case.architecture is None:
        return None
    rows = case.data.rows
    # plain text is mostly a lot of it
    many = rows >= MANY_ROWS if rows is not None else case.plain_text
    if many:
        return None
    billions = case.architecture.parameters / 1e9
    return (
        f"full fine-tuning changes all {billions:.1f} billion weights, forgets more of what the model could do, and "
        "needs 12 bytes of memory a weight; method lora keeps them, needs 2, and with under "
        f"{MANY_ROWS:,} rows usually learns as much. If it stays full, hold out rows of general tasks, and mix "
        "5 to 10% general data in"
    )


def quantizes_little(case: Case) -> str | None:
    architecture = case.architecture
    if case.spec.method != "qlora" or architecture is None or not case.large:
        return None
    bare = sum(linear.weights for linear in architecture.linears if not linear.module)
    layers = architecture.linear_parameters - bare
    share = layers / architecture.parameters
    if share >= QUANTIZED_SHARE or bare <= layers:
        return None
    return (
        f"qlora can hold {share:.0%} of this model's {architecture.parameters / 1e9:.1f} billion parameters in 4 bits: "
        f"{bare / architecture.parameters:.0%} are experts', which stay in 16; its weights take {SAVED * share:.0%} "
        "less memory than with method lora, which is faster and exact"
    )


def learning_rate_outside(case: Case) -> str | None:
    rate = case.training.learning_rate
    if rate is None or not case.large or case.spec.method == "ia3" or case.spec.objective == "dpo":
        return None
    full = case.spec.method == "full"
    low, high = FULL_RATES if full else ADAPTER_RATES
    if low <= rate <= high:
        return None
    effect = "the loss may jump, and more is forgotten" if rate > high else "little is learnt in a few epochs"
    return (
        f"training.learningRate {rate:g} is {'above' if rate > high else 'below'} what suits "
        f"{'full fine-tuning' if full else 'adapters'}, {low:g} to {high:g}: {effect}"
    )


def too_many_epochs(case: Case) -> str | None:
    if not case.large:
        return None
    epochs, few = case.epochs, _few_rows(case)
    if epochs <= _most_epochs(case):
        return None
    of = f" of {case.data.rows:,} rows" if few else ""
    return (
        f"{epochs:.3g} passes{of}: large models learn rows by heart within a few; begin with training.epochs 2 or 3, "
        "and take more only while the validation loss falls"
    )


def _few_rows(case: Case) -> bool:
    return case.data.rows is not None and case.data.rows < FEW_ROWS


def _most_epochs(case: Case) -> float:
    if not case.large:
        return math.inf
    return MANY_EPOCHS_FEW_ROWS if _few_rows(case) else MANY_EPOCHS


def short_run(case: Case) -> str | None:
    if case.steps is None or case.steps >= SHORT:
        return None
    said = (
        f"{case.steps} optimizer {'step' if case.steps == 1 else 'steps'} in all: the learning rate has hardly risen "
        "when it falls again; "
    )
    if case.training.max_steps == case.steps:
        return said + "raise training.maxSteps"
    # nothing that another rule would then speak against
    remedies = [
        f"lower training.effectiveBatchSize ({case.batch})" if case.batch > BATCHES[0] else None,
        "raise training.epochs" if case.epochs < _most_epochs(case) else None,
        "collect more rows",
    ]
    return said + " or ".join(each for each in remedies if each)


def rank_for_data(case: Case) -> str | None:
    if case.spec.method not in ("lora", "qlora") or not case.large:
        return None
    rank, rows = case.adapter.rank or defaults.RANK, case.data.rows
    if rows is not None and rows < FEW_ROWS and rank >= HIGH_RANK_FEW_ROWS:
        return (
            f"adapter.rank {rank} for {rows:,} rows: more weights than they can teach overfit; 8 or 16 is enough for "
            "form and tone"
        )
    # of many rows a high rank learns more (arXiv:2405.09673, figure 2)
    if rank > HIGH_RANK and (rows is None or rows < MANY_ROWS):
        return (
            f"adapter.rank {rank}: with under {MANY_ROWS:,} rows, more than {HIGH_RANK} rarely teaches more, and costs "
            "memory and time; try 16 to 64 first"
        )
    return None


def batch_outside(case: Case) -> str | None:
    low, high = BATCHES
    if low <= case.batch <= high or not case.large:
        return None
    if case.batch < low:
        # few rows are worth small batches: larger ones would make a short run
        if case.steps is not None and case.steps * case.batch < SHORT * low:
            return None
        return (
            f"training.effectiveBatchSize {case.batch}: with under {low} examples a step, gradients are noisy; {low} "
            "to 16 need no more memory, for they are accumulated"
        )
    return (
        f"training.effectiveBatchSize {case.batch}: with over {high} examples a step, the data makes few steps; "
        "16 usually learns more in as many epochs"
    )


def warmup_outside(case: Case) -> str | None:
    training, steps = case.training, case.steps
    if steps is None or (training.warmup_steps is None and training.warmup_ratio is None):
        return None
    field = "warmupSteps" if training.warmup_steps is not None else "warmupRatio"
    warmup = training.warmup_steps if training.warmup_steps is not None else (training.warmup_ratio or 0.0) * steps
    if training.scheduler == "constant":
        if not warmup:
            return None
        return f"training.{field} does nothing: the scheduler constant has no warmup; constantWithWarmup has"
    low = min(WARMUP_STEPS[0], WARMUP_SHARES[0] * steps)
    high = max(WARMUP_STEPS[1], WARMUP_SHARES[1] * steps)
    # a run of 200 steps can't rise for 100 of them
    high = min(high, steps / 4)
    if low <= warmup <= high:
        return None
    effect = "the loss may jump at the start" if warmup < low else "many steps are spent below the learning rate"
    return (
        f"training.{field} makes the learning rate rise for {warmup:.0f} of {steps:,} steps: {effect}; "
        f"{max(1, round(low))} to {max(1, round(high))} are usual"
    )


def checkpoints_take_long(case: Case) -> str | None:
    if case.estimate is None:
        return None
    checkpoint = case.spec.checkpoint
    interval = (checkpoint.interval_seconds if checkpoint is not None else None) or CHECKPOINT_INTERVAL_SECONDS
    each = case.estimate.checkpoint_seconds
    share = each / (interval + each)
    if share <= CHECKPOINT_SHARE or case.estimate.parts["training"] <= interval:
        return None
    longer = math.ceil(each * (1 / CHECKPOINT_SHARE - 1) / 300) * 300
    return (
        f"a checkpoint takes about {each:.0f} s to write, after every {interval} s of training: {share:.0%} of the "
        f"time; checkpoint.intervalSeconds {longer} makes it a tenth, and an interruption then costs that much more"
    )


def prices_old(case: Case) -> str | None:
    if case.hardware is None or case.hardware.price is None or case.today is None:
        return None
    resources = case.spec.resources
    if resources is not None and resources.price_usd_per_hour is not None:
        return None
    if case.today - case.hardware.price.date <= STALE:
        return None
    return (
        f"the price of {case.hardware.name} is of {case.hardware.price.date}, over a year ago: set "
        "resources.priceUSDPerHour, or newer prices in the chart's value hardware"
    )
