"""What `finetune plan` prints for people: the choice, its memory by term, its time and cost, and what lost."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from finetune_api.job import FineTuneJob
from finetune_api.spec.resources import ResourcesSpec
from finetune_api.spec.training import TrainingSpec
from finetune_api.status import Alternative, Memory, Sizing
from finetune_operator.duration import duration
from finetune_operator.sizing import batch
from finetune_operator.sizing.choice.option import Option
from finetune_operator.sizing.choice.shown import parameters, price_name, usd
from finetune_operator.sizing.facts import DataFacts, ModelFacts
from finetune_operator.sizing.job import Sized
from finetune_operator.sizing.speed import Estimate

_BAR = 40
"""Characters of the memory of one accelerator."""


def plan_text(job: FineTuneJob, *, model: ModelFacts, data: DataFacts, sized: Sized, width: int) -> str:
    """The whole page; sentences are broken at `width` characters."""
    sizing = sized.sizing
    origin = {
        "catalogue": ", from the catalogue",
        "config.json": ", from its config.json",
        "spec.model.architecture": ", as given",
    }
    title = (
        f"{job.metadata.name}: {job.spec.method} of {job.spec.model.source} "
        f"({parameters(model.architecture.parameters)} parameters{origin[model.origin]})"
    )
    lines = [title, "", *_choice(job, sizing), ""]
    if sizing.memory is not None and sizing.memory.terms is not None:
        lines += [*_memory(sizing.memory), ""]
    lines += [*_data(data), *_money(job, sizing, sized.choice.best), ""]
    if sizing.alternatives:
        lines += [*_alternatives(sizing.alternatives), ""]
    said = [f"note: {note}" for note in sized.choice.notes]
    if sizing.nodes > 1:
        said.append("note: this version of the operator runs a job on one node, and would refuse it")
    said += [f"advice: {each.message} ({each.code})" for each in sized.advice]
    lines += [
        textwrap.fill(each, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for each in said
    ]
    return "\n".join(lines).rstrip()


def what(accelerator: str, count: int, nodes: int) -> str:
    """Such as 2x L4, or 8x H100-80GB on each of 2 nodes."""
    if count == 0:
        return accelerator
    return f"{count}x {accelerator}" + (f" on each of {nodes} nodes" if nodes > 1 else "")


def _choice(job: FineTuneJob, sizing: Sizing) -> Iterator[str]:
    memory = sizing.memory
    available = memory.available_gib if memory is not None else None
    yield f"  {what(sizing.accelerator, sizing.count, sizing.nodes)}" + (
        f" ({available:.1f} GiB each)" if available is not None else ""
    )
    training = job.spec.training or TrainingSpec()
    effective = batch.effective_batch_size(training.effective_batch_size)
    workers = max(1, sizing.count) * sizing.nodes
    if sizing.gradient_accumulation_steps is None:
        yield f"  {effective} examples per step, packed; micro-batch {sizing.micro_batch_size}"
    else:
        split = f"{sizing.micro_batch_size} x {sizing.gradient_accumulation_steps} accumulated"
        yield f"  {effective} examples per step: {split}" + (f" x {workers} accelerators" if workers > 1 else "")
    settings = [
        f"sequences of {sizing.max_sequence_length} tokens" if sizing.max_sequence_length else None,
        "gradient checkpointing" if sizing.gradient_checkpointing else "no gradient checkpointing",
        sizing.optimizer,
        sizing.sharding if sizing.sharding != "none" else None,
    ]
    yield "  " + ", ".join(each for each in settings if each)


def _memory(memory: Memory) -> Iterator[str]:
    terms = memory.terms.to_json() if memory.terms is not None else {}
    full = max(memory.available_gib or 0.0, memory.required_gib or 0.0) or 1.0
    yield f"  {'memory of each':{_BAR + 16}} {'GiB':>8}"
    for name, gib in terms.items():
        if gib >= 0.005:
            yield f"  {name:15} {_bar(gib / full)} {gib:8.2f}"
    yield f"  {'expected':15} {_bar((memory.total_gib or 0) / full)} {memory.total_gib:8.2f}"
    end = f" of {memory.available_gib:.1f}" if memory.available_gib is not None else ""
    yield f"  {'with margin':15} {_bar((memory.required_gib or 0) / full)} {memory.required_gib:8.2f}{end}"


def _bar(share: float) -> str:
    return ("█" * max(1, round(_BAR * min(1.0, share)))).ljust(_BAR)


def _data(data: DataFacts) -> Iterator[str]:
    if data.tokens is not None:
        rows = f"{data.rows:,} rows, " if data.rows is not None else ""
        yield f"  {'data':15} {rows}{data.tokens:,} tokens an epoch" + (", estimated" if data.estimated else "")


def _money(job: FineTuneJob, sizing: Sizing, best: Option) -> Iterator[str]:
    if sizing.estimated_seconds is None and sizing.count == 0:
        yield f"  {'time':15} not predicted: how fast a CPU is stands in no table"
    elif sizing.tokens is None:
        yield f"  {'time':15} not known: say how much data there is with --rows and --tokens"
    elif sizing.estimated_seconds is None:
        yield f"  {'time':15} not known: the hardware table has no speed of {sizing.accelerator}"
    else:
        parts = best.estimate.parts if isinstance(best.estimate, Estimate) else {}
        shown = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts.items() if seconds >= 1)
        yield f"  {'time':15} {duration(sizing.estimated_seconds)}" + (f" ({shown})" if shown else "")
    price = sizing.price_usd_per_hour
    if sizing.count == 0:
        return
    if price is None:
        missing = price_name(job.spec.resources or ResourcesSpec())
        yield f"  {'cost':15} not known: the hardware table has no {missing} of {sizing.accelerator}"
    elif sizing.estimated_cost_usd is None:
        yield f"  {'cost':15} {usd(price)} an hour for each"
    else:
        yield f"  {'cost':15} {usd(sizing.estimated_cost_usd)}, at {usd(price)} an hour for each"


def _alternatives(alternatives: Sequence[Alternative]) -> Iterator[str]:
    yield "  not chosen"
    names = [what(each.accelerator, each.count, each.nodes) for each in alternatives]
    column = max(22, *map(len, names))
    for name, each in zip(names, alternatives, strict=True):
        figures = [
            f"{each.required_gib:.1f} GiB" if each.required_gib is not None else None,
            duration(each.estimated_seconds) if each.estimated_seconds is not None else None,
            usd(each.estimated_cost_usd) if each.estimated_cost_usd is not None else None,
        ]
        yield f"  {name:{column}} {', '.join(figure for figure in figures if figure):28} {each.why}"
