"""What a job means on this machine: where its claims and files are, and what it runs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from finetune_api.contract import EXIT_CODES, DestinationConfig, Outcome, SourceConfig, TrainerConfig
from finetune_api.job import FineTuneJob
from finetune_api.names import OUTPUT_DIR
from finetune_api.spec.resources import ResourcesSpec
from finetune_api.status import Sizing
from finetune_operator.children.source import Claim, File, SourceError, parse
from finetune_operator.local.machine import Machine
from finetune_operator.local.run_error import RunError
from finetune_operator.planning import inputs as planning
from finetune_operator.reconcile.resolve import Paths, trainer_config
from finetune_operator.sizing.choice.eligible import named
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.cluster.demand import demand
from finetune_operator.sizing.cluster.offers import Available, available
from finetune_operator.sizing.facts import ModelFacts
from finetune_operator.sizing.hardware import CPU, UNLABELLED_GPU, Hardware, Table, builtin
from finetune_operator.sizing.job import size
from finetune_operator.sizing.known import UnknownModelError, model_facts
from finetune_operator.sizing.models.config_json import FILE, read
from finetune_operator.sizing.models.keys import ModelError
from finetune_operator.sizing.split import roughly
from finetune_operator.support import unsupported

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class Place:
    """This machine, as far as one job is concerned.

    Attributes:
        work: the run's folder, absolute.
        job_folder: what relative file:// paths start from.
        mounts: where claims of pvc:// sources are here, by their name.
    """

    work: Path
    job_folder: Path
    mounts: Mapping[str, Path]


def require_support(job: FineTuneJob) -> None:
    """Raises RunError where the job asks for what this version does not do, or what only a cluster has."""
    spec = job.spec.to_json()
    data = spec["dataset"]
    for part in (spec["model"], data["train"], data.get("validation", {})):
        if str(part.get("source", "")).startswith("file://"):
            part["source"] = "pvc://here/file"  # what a claim is to a cluster
    # a queue has no part in it, so neither have the labels
    found = unsupported(spec, labels={})
    if found:
        raise RunError(EXIT_CODES[Outcome.BAD_CONFIG], "\n".join(found))


def sized(job: FineTuneJob, device: Device | None, place: Place, *, machine: Callable[[], Machine]) -> Sizing:
    """What the job runs on. `device` overrides what it asks for; `machine` is asked only where neither says anything.

    Raises:
        RunError: it does not fit, or its resources contradict each other.
    """
    asked = job.spec.resources or ResourcesSpec()
    match device:
        case "cpu":
            asked = asked.model_copy(update={"accelerator": CPU, "count": None})
        case "gpu" if asked.accelerator in (None, CPU):
            asked = asked.model_copy(update={"accelerator": UNLABELLED_GPU, "count": None})
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"resources": asked})})
    table = builtin()
    nodes = machine().nodes(table) if asked.accelerator is None else []
    there = available(nodes, {}, demand(None), table)
    try:
        model = _model(job, place)
        if model is None:
            return roughly(_row(asked, there, table), job)
        data = planning.data(job, rows=None, tokens=None, folder=place.job_folder)
        return size(job, model=model, data=data, available=there, table=table, today=datetime.now().date()).sizing
    except (SizingError, ModelError) as error:
        raise RunError(EXIT_CODES[Outcome.BAD_CONFIG], str(error)) from None


def _model(job: FineTuneJob, place: Place) -> ModelFacts | None:
    """The model's shape; None: it is known when the trainer has downloaded it, or is not there at all."""
    folder = _folder(job.spec.model.source, place)
    if job.spec.model.architecture is None and folder is not None:
        return ModelFacts(read(folder), "config.json") if (folder / FILE).exists() else None
    try:
        return model_facts(job.spec.model, config=None)
    except UnknownModelError:
        return None


def _folder(uri: str, place: Place) -> Path | None:
    match parse(uri):
        case File(path):
            return place.job_folder / path
        case Claim(name, path) if name in place.mounts:
            return place.mounts[name] / path
        case _:
            return None


def _row(asked: ResourcesSpec, there: Available, table: Table) -> Hardware:
    if asked.accelerator is not None:
        return named(asked.accelerator, table)
    return there.offers[0].hardware if there.offers and asked.count != 0 else table.row(CPU)


def configured(job: FineTuneJob, place: Place, *, sizing: Sizing, attempt: int, micro_batch_size: int) -> TrainerConfig:
    """The trainer's configuration, as the operator makes it, with paths of this machine.

    Raises:
        RunError: a source or destination is nowhere on this machine.
    """
    try:
        config = trainer_config(
            job, paths=_paths(job, place), sizing=sizing, attempt=attempt, micro_batch_size=micro_batch_size
        )
    except (SourceError, LookupError) as error:
        raise RunError(EXIT_CODES[Outcome.BAD_CONFIG], str(error)) from None
    data = config.dataset
    return config.model_copy(
        update={
            "model": config.model.model_copy(
                update={"source": _present(config.model.source, "spec.model.source", place)}
            ),
            "dataset": data.model_copy(
                update={
                    "train": _present(data.train, "spec.dataset.train.source", place),
                    "validation": data.validation
                    and _present(data.validation, "spec.dataset.validation.source", place),
                }
            ),
        }
    )


def _paths(job: FineTuneJob, place: Place) -> Paths:
    data = job.spec.dataset
    sources = {
        "spec.model.source": job.spec.model.source,
        "spec.dataset.train.source": data.train.source,
        "spec.dataset.validation.source": data.validation.source if data.validation else None,
    }
    for field, uri in sources.items():
        source = parse(uri) if uri else None
        if isinstance(source, Claim) and source.name not in place.mounts:
            raise RunError(
                EXIT_CODES[Outcome.BAD_CONFIG],
                f"{field}: {uri} lies on a claim of a cluster; say where its content is on this machine with "
                f"--mount {source.name}=DIR, or name the files with file://PATH",
            )
    return Paths(
        work_dir=str(place.work),
        port=0,
        claims={name: str(path) for name, path in place.mounts.items()},
        output_uri=f"file://{place.work / OUTPUT_DIR}",
        destinations=tuple(_destinations(job, place)),
    )


def _destinations(job: FineTuneJob, place: Place) -> list[DestinationConfig]:
    found = []
    destinations = (job.spec.output.destinations if job.spec.output else None) or []
    for index, destination in enumerate(destinations):
        if destination.pvc is None:
            continue
        name, path = destination.pvc.claim_name, destination.pvc.path
        if name not in place.mounts:
            raise RunError(
                EXIT_CODES[Outcome.BAD_CONFIG],
                f"spec.output.destinations[{index}].pvc: {name} is a claim of a cluster; say which folder of this "
                f"machine stands for it with --mount {name}=DIR",
            )
        found.append(DestinationConfig(uri=f"pvc://{name}/{path}", path=str(place.mounts[name] / path)))
    return found


def _present(source: SourceConfig, field: str, place: Place) -> SourceConfig:
    """The source with an absolute path, which must exist: better said now than after torch is loaded."""
    if source.path is None:
        return source
    path = Path(source.path)
    if isinstance(parse(source.uri), File):
        path = place.job_folder / path
    path = path.resolve()
    if not path.exists():
        raise RunError(EXIT_CODES[Outcome.NOT_FOUND], f"{field}: {source.uri} is {path} here, which does not exist")
    return source.model_copy(update={"path": str(path)})
