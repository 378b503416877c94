"""From what a user wrote to what a trainer is told: every field decided, with the defaults that spec promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from finetune_api.contract import (
    CONTRACT_VERSION,
    AdapterConfig,
    CheckpointConfig,
    DatasetConfig,
    DestinationConfig,
    JobIdentity,
    ModelConfig,
    OutputConfig,
    SourceConfig,
    TrainerConfig,
    TrainingConfig,
)
from finetune_api.job import FineTuneJob
from finetune_api.names import DESTINATIONS_DIR, OUTPUT_DIR, SOURCES_DIR, TRAINER_PORT, WORK_DIR, work_claim_name
from finetune_api.schema import Sharding
from finetune_api.spec.dataset import DataQuality, DatasetSpec
from finetune_api.spec.resources import CheckpointSpec
from finetune_api.spec.training import AdapterSpec, TrainingSpec
from finetune_api.status import Sizing
from finetune_operator.children.source import Claim, File, Hub, parse
from finetune_operator.sizing import batch, defaults
from finetune_operator.sizing.split import packed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are on the machine that trains.

    Attributes:
        work_dir: writable, kept across attempts.
        port: of the trainer's HTTP; 0: any free one.
        claims: where the root of each claim of a pvc:// source is mounted, by its name.
        output_uri: what the result in the work directory is called.
        destinations: folders that the result is copied to, in the order of spec.output.destinations.
    """

    work_dir: str
    port: int
    claims: Mapping[str, str]
    output_uri: str
    destinations: tuple[DestinationConfig, ...] = ()


def paths_in_cluster(job: FineTuneJob) -> Paths:
    """Where the training pod's volumes are mounted (children.volumes mounts them there)."""
    validation = job.spec.dataset.validation
    uris = (job.spec.model.source, job.spec.dataset.train.source, validation.source if validation else None)
    sources = [parse(uri) for uri in uris if uri]
    destinations = (job.spec.output.destinations if job.spec.output else None) or []
    return Paths(
        work_dir=WORK_DIR,
        port=TRAINER_PORT,
        claims={source.name: f"{SOURCES_DIR}/{source.name}" for source in sources if isinstance(source, Claim)},
        output_uri=f"pvc://{work_claim_name(job.metadata.name)}/{OUTPUT_DIR}",
        destinations=tuple(
            DestinationConfig(
                uri=f"pvc://{destination.pvc.claim_name}/{destination.pvc.path}",
                path=f"{DESTINATIONS_DIR}/{index}/{destination.pvc.path}",
            )
            for index, destination in enumerate(destinations)
            if destination.pvc is not None
        ),
    )


def trainer_config(
    job: FineTuneJob, *, paths: Paths, sizing: Sizing, attempt: int, micro_batch_size: int
) -> TrainerConfig:
    """Everything that one attempt's trainer needs to know.

    Raises:
        SourceError: a source's URI means nothing.
        LookupError: a source has no place in `paths`.
    """
    metadata, spec = job.metadata, job.spec
    checkpoint = spec.checkpoint or CheckpointSpec()
    return TrainerConfig(
        contract_version=CONTRACT_VERSION,
        job=JobIdentity(namespace=metadata.namespace, name=metadata.name, uid=metadata.uid, attempt=attempt),
        work_dir=paths.work_dir,
        port=paths.port,
        accelerator="cpu" if sizing.count == 0 else "gpu",
        processes=max(1, sizing.count),
        model=ModelConfig(
            source=_source(spec.model.source, paths, revision=spec.model.revision),
            trust_remote_code=bool(spec.model.trust_remote_code),
        ),
        method=spec.method,
        dataset=_dataset(spec.dataset, paths),
        adapter=None if spec.method == "full" else _adapter(spec.adapter or AdapterSpec()),
        training=_training(job, sizing=sizing, micro_batch_size=micro_batch_size),
        checkpoint=CheckpointConfig(
            interval_seconds=_or(checkpoint.interval_seconds, defaults.CHECKPOINT_INTERVAL_SECONDS),
            keep=_or(checkpoint.keep, defaults.CHECKPOINTS_KEPT),
        ),
        output=OutputConfig(uri=paths.output_uri, destinations=list(paths.destinations)),
    )


def _source(
    uri: str, paths: Paths, *, revision: str | None = None, split: str | None = None, subset: str | None = None
) -> SourceConfig:
    match parse(uri):
        case Hub(repository):
            return SourceConfig(uri=uri, repository=repository, revision=revision or "main", split=split, subset=subset)
        case Claim(name, path):
            if name not in paths.claims:
                raise LookupError(f"{uri}: it is not known where the claim {name} is")
            return SourceConfig(uri=uri, path="/".join(part for part in (paths.claims[name].rstrip("/"), path) if part))
        case File(path):
            return SourceConfig(uri=uri, path=path)
        case _:
            raise LookupError(f"{uri}: this version reads hf://, pvc:// and, outside of a cluster, file://")


def _dataset(data: DatasetSpec, paths: Paths) -> DatasetConfig:
    train, validation = data.train, data.validation
    quality = data.quality or DataQuality()
    on_hub = isinstance(parse(train.source), Hub)
    held_out = None
    if validation is not None and validation.source is not None:
        # Another split of the training data is one of the same revision and subset.
        same = train if validation.source == train.source else None
        held_out = _source(
            validation.source,
            paths,
            revision=same.revision if same is not None else None,
            split=validation.split or "validation",
            subset=same.subset if same is not None else None,
        )
    return DatasetConfig(
        train=_source(
            train.source,
            paths,
            revision=train.revision,
            split=(train.split or "train") if on_hub else None,
            subset=train.subset,
        ),
        validation=held_out,
        validation_fraction=validation.fraction if validation is not None else None,
        format=data.format,
        columns=dict(data.columns or {}),
        train_on=data.train_on or "responses",
        overlong=quality.overlong or "truncate",
        empty_responses=quality.empty_responses or "fail",
    )


def _adapter(adapter: AdapterSpec) -> AdapterConfig:
    rank = _or(adapter.rank, defaults.RANK)
    return AdapterConfig(
        rank=rank,
        alpha=_or(adapter.alpha, defaults.ALPHA_PER_RANK * rank),
        dropout=adapter.dropout,
        target_modules=list(_or(adapter.target_modules, list(defaults.TARGET_MODULES))),
        modules_to_save=list(adapter.modules_to_save or []),
    )


def _training(job: FineTuneJob, *, sizing: Sizing, micro_batch_size: int) -> TrainingConfig:
    training = job.spec.training or TrainingSpec()
    rate = defaults.LEARNING_RATE_FULL if job.spec.method == "full" else defaults.LEARNING_RATE_ADAPTER
    ratio = training.warmup_ratio
    if ratio is None and training.warmup_steps is None:
        ratio = defaults.WARMUP_RATIO
    return TrainingConfig(
        epochs=_or(training.epochs, defaults.EPOCHS),
        max_steps=training.max_steps,
        learning_rate=_or(training.learning_rate, rate),
        effective_batch_size=batch.effective_batch_size(training.effective_batch_size),
        micro_batch_size=micro_batch_size,
        max_sequence_length=_or(training.max_sequence_length, sizing.max_sequence_length),
        packing=packed(sizing, training),
        scheduler=_or(training.scheduler, defaults.SCHEDULER),
        warmup_ratio=ratio,
        warmup_steps=training.warmup_steps,
        optimizer=training.optimizer or sizing.optimizer or defaults.OPTIMIZER,
        weight_decay=_or(training.weight_decay, defaults.WEIGHT_DECAY),
        max_grad_norm=_or(training.max_grad_norm, defaults.MAX_GRAD_NORM),
        seed=_or(training.seed, defaults.SEED),
        gradient_checkpointing=bool(sizing.gradient_checkpointing),
        attention=training.attention,
        loss_kernel=training.loss_kernel,
        sharding=_sharding(sizing),
        precision=training.precision,
        neftune_alpha=training.neftune_alpha,
    )


def _sharding(sizing: Sizing) -> Sharding:
    """As sized. Whole copies where an older version sized several accelerators and didn't say."""
    if sizing.count <= 1:
        return "none"
    return "fsdp" if sizing.sharding == "fsdp" else "ddp"


def _or(given: T | None, default: T) -> T:
    return default if given is None else given
