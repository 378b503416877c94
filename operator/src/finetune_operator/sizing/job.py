"""What a job runs on and how it is split, before it starts. Later it stands in status and is not asked again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from finetune_api.job import FineTuneJob
from finetune_api.schema import Quantity
from finetune_api.spec.resources import CheckpointSpec, ResourcesSpec
from finetune_api.spec.training import AdapterSpec, TrainingSpec
from finetune_api.status import Advice, Alternative, Host, Memory, MemoryTerms, Sizing
from finetune_operator.sizing import defaults, host
from finetune_operator.sizing.advice import Case, advise
from finetune_operator.sizing.choice.choose import choose
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.choice.option import GIB, Choice, Lost, Option
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.choice.shown import gib, parameters
from finetune_operator.sizing.cluster.demand import Demand, demand
from finetune_operator.sizing.cluster.offers import Available
from finetune_operator.sizing.facts import DataFacts, ModelFacts
from finetune_operator.sizing.hardware import Table
from finetune_operator.sizing.memory import trained
from finetune_operator.sizing.models.refusal import refuse_quantized
from finetune_operator.sizing.models.targets import refuse_unknown_targets
from finetune_operator.sizing.quantity import amount
from finetune_operator.sizing.setup import Engine
from finetune_operator.sizing.speed import Estimate, price_usd_per_hour


@dataclass(frozen=True, slots=True)
class Sized:
    """The plan, what it was chosen from, and what is worth saying about the job."""

    sizing: Sizing
    choice: Choice
    advice: tuple[Advice, ...]


def request(
    job: FineTuneJob, *, model: ModelFacts, data: DataFacts, engine: Engine | None = None, max_nodes: int = 1
) -> Request:
    """What the choice needs to know of a job."""
    return Request(
        method=job.spec.method,
        architecture=model.architecture,
        adapter=job.spec.adapter or AdapterSpec(),
        training=job.spec.training or TrainingSpec(),
        resources=job.spec.resources or ResourcesSpec(),
        objective=job.spec.objective or "sft",
        data=data,
        engine=engine or Engine(),
        max_nodes=max_nodes,
        checkpoint_seconds=(job.spec.checkpoint or CheckpointSpec()).interval_seconds
        or defaults.CHECKPOINT_INTERVAL_SECONDS,
    )


def size(
    job: FineTuneJob,
    *,
    model: ModelFacts,
    data: DataFacts,
    available: Available,
    table: Table,
    today: date,
    engine: Engine | None = None,
    max_nodes: int = 1,
) -> Sized:
    """Work out what the job leaves open, and check what it doesn't.

    Raises:
        SizingError: nothing fits; the text says why and what would.
        ModelError: the model is stored in a form that the method cannot train, or lacks a module that is to get an
            adapter.
    """
    refuse_quantized(model.architecture, job.spec.method, job.spec.model.source)
    asked = request(job, model=model, data=data, engine=engine, max_nodes=max_nodes)
    if job.spec.method != "full" and not job.spec.model.trust_remote_code:  # the model's own code has its own names
        refuse_unknown_targets(model.architecture, asked.target_modules)
    choice = choose(asked, available, table)
    host_needs = _host(job, choice.best)
    if choice.best.count == 0 and asked.resources.memory is None:
        choice = _on_a_node(choice, asked, host_needs, available.host_bytes)
    sizing = _sizing(choice, asked).model_copy(update={"host": host_needs, "notes": list(choice.notes) or None})
    return Sized(sizing, choice, tuple(advise(_case(job, model, data, choice.best, asked, today=today))))


def _host(job: FineTuneJob, best: Option) -> Host:
    """What else each pod is given."""
    checkpoint = job.spec.checkpoint or CheckpointSpec()
    keep = defaults.CHECKPOINTS_KEPT if checkpoint.keep is None else checkpoint.keep
    on_hub = job.spec.model.source.startswith("hf://")
    downloaded = host.model_bytes(best.setup.architecture) if on_hub else 0
    return host.in_gib(host.needs(best.setup, keep=keep, nodes=best.nodes, downloaded_bytes=downloaded))


def _on_a_node(choice: Choice, asked: Request, needs: Host, largest: int | None) -> Choice:
    """Of a run on CPUs, with what there is to say where no node has memory for it: its pod would never start.

    Raises:
        SizingError: nobody asked for CPUs either.
    """
    if largest is None or (needs.memory_gib or 0) * GIB <= largest:
        return choice
    said = f"{needs.memory_gib} GiB of host memory, and the largest node has {gib(largest)}"
    if asked.resources.accelerator is not None or asked.resources.count == 0:
        return replace(choice, notes=(*choice.notes, f"it needs {said}; the job waits until one has as much"))
    what = f"{asked.method} of {parameters(asked.architecture.parameters)} parameters"
    raise SizingError(
        f"there is no accelerator, and on CPUs {what} needs {said}; name a kind in spec.resources.accelerator to wait "
        "for it, or cpu to wait for such a node"
    )


def _case(job: FineTuneJob, model: ModelFacts, data: DataFacts, best: Option, asked: Request, *, today: date) -> Case:
    return Case(
        spec=job.spec,
        data=data,
        architecture=model.architecture,
        estimate=best.estimate if isinstance(best.estimate, Estimate) else None,
        hardware=best.hardware,
        max_sequence_length=asked.max_sequence_length,
        today=today,
    )


def pod_demand(job: FineTuneJob, *, cpu: Quantity, memory: Quantity) -> Demand:
    """What the training pod asks of a node besides accelerators; `cpu` and `memory` where the job doesn't say."""
    asked = job.spec.resources or ResourcesSpec()
    return demand(
        job.spec.pod_template,
        spot=asked.spot,
        requests={
            "cpu": amount(cpu if asked.cpu is None else asked.cpu),
            "memory": amount(memory if asked.memory is None else asked.memory),
        },
    )


def _sizing(choice: Choice, asked: Request) -> Sizing:
    best = choice.best
    setup, data = best.setup, asked.data
    price = price_usd_per_hour(best.hardware, spot=bool(asked.resources.spot), price=asked.resources.price_usd_per_hour)
    return Sizing(
        accelerator=best.hardware.name,
        count=best.count,
        nodes=best.nodes,
        gpus=best.accelerators,
        sharding=setup.sharding,
        micro_batch_size=best.micro_batch_size,
        gradient_accumulation_steps=None if asked.packed else setup.accumulation,
        gradient_checkpointing=setup.gradient_checkpointing,
        optimizer=setup.optimizer,
        max_sequence_length=asked.max_sequence_length,
        parameters=setup.architecture.parameters,
        trainable_parameters=trained.parameters(setup),
        memory=_memory(best),
        tokens=data.tokens,
        tokens_estimated=data.estimated if data.tokens is not None else None,
        estimated_seconds=_whole(best.seconds),
        price_usd_per_hour=price,
        estimated_cost_usd=_cents(best.cost_usd),
        alternatives=[_alternative(each) for each in choice.alternatives] or None,
    )


def _memory(option: Option) -> Memory:
    prediction, available = option.prediction, option.available_bytes
    return Memory(
        total_gib=_gib(prediction.total),
        required_gib=_gib(prediction.required),
        available_gib=None if available is None else _gib(available),
        terms=MemoryTerms(**{name: _gib(size) for name, size in prediction.terms.items()}),
    )


def _alternative(lost: Lost) -> Alternative:
    option = lost.option
    return Alternative(
        accelerator=option.hardware.name,
        count=option.count,
        nodes=option.nodes,
        sharding=option.setup.sharding,
        optimizer=option.setup.optimizer,
        micro_batch_size=option.setup.micro_batch_size,
        gradient_checkpointing=option.setup.gradient_checkpointing,
        required_gib=_gib(option.prediction.required),
        estimated_seconds=_whole(option.seconds),
        estimated_cost_usd=_cents(option.cost_usd),
        why=lost.why,
    )


def _gib(size: int) -> float:
    return round(size / GIB, 3)


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def _cents(cost: float | None) -> float | None:
    return None if cost is None else round(cost, 4)
