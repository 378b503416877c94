"""What a job means on this machine: where its claims and files are, and what it runs on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finetune_api.contract import EXIT_CODES, DestinationConfig, Outcome, SourceConfig, TrainerConfig
from finetune_api.job import FineTuneJob
from finetune_api.names import OUTPUT_DIR
from finetune_api.spec.resources import ResourcesSpec
from finetune_api.status import Sizing
from finetune_operator.children.source import Claim, File, SourceError, parse
from finetune_operator.local.run_error import RunError
from finetune_operator.reconcile.resolve import Paths, trainer_config
from finetune_operator.reconcile.support import unsupported
from finetune_operator.sizing.choose import SizingError
from finetune_operator.sizing.hardware import CPU, UNLABELLED_GPU, builtin
from finetune_operator.sizing.size import size

Device = Literal["cpu", "gpu"]
_NVIDIA_SMI_SECONDS = 30


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


def sized(job: FineTuneJob, device: Device | None, *, gpus: Callable[[], int]) -> Sizing:
    """What the job runs on. `device` overrides what it asks for; `gpus` counts those of this machine.

    Raises:
        RunError: the job's resources contradict each other.
    """
    asked = job.spec.resources or ResourcesSpec()
    match device:
        case "cpu":
            asked = asked.model_copy(update={"accelerator": CPU, "count": None})
        case "gpu" if asked.accelerator in (None, CPU):
            asked = asked.model_copy(update={"accelerator": UNLABELLED_GPU, "count": None})
    # only where neither says anything is the machine asked
    nodes = [_node(gpus())] if asked.accelerator is None else []
    try:
        return size(job.model_copy(update={"spec": job.spec.model_copy(update={"resources": asked})}), nodes, builtin())
    except SizingError as error:
        raise RunError(EXIT_CODES[Outcome.BAD_CONFIG], str(error)) from None


def count_gpus() -> int:
    """NVIDIA GPUs of this machine, as its driver lists them; 0 where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_NVIDIA_SMI_SECONDS)
    except subprocess.TimeoutExpired:
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0


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


def _node(gpus: int) -> dict[str, Any]:
    """This machine as a node that says nothing about its kind of GPU."""
    resource = builtin().row(UNLABELLED_GPU).resource
    return {"metadata": {}, "status": {"allocatable": {resource: str(gpus)}}}


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
