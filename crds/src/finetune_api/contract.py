"""What operator and trainer promise each other.

In: one JSON file, a `TrainerConfig`, whose path stands in FINETUNE_CONFIG. Nothing in it is left to be worked out.
While running: HTTP on `port`, rank 0: /progress (`finetune_api.status.Progress`), /metrics (Prometheus), /healthz.
Out: a `Result` as JSON in the termination log (at most 4,096 bytes) and in WORK_DIR/result.json, and the exit code of
its outcome. Exit code 0 means that every output was written and verified, and is never given after SIGTERM.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from finetune_api.inspection import Inspection
from finetune_api.schema import (
    Attention,
    DatasetFormat,
    LossKernel,
    Method,
    Optimizer,
    Precision,
    Scheduler,
    Schema,
    Sharding,
    TrainOn,
)
from finetune_api.status import Metrics, Output, ResolvedInputs

CONTRACT_VERSION = 1
CONFIG_ENV = "FINETUNE_CONFIG"
TERMINATION_LOG_ENV = "FINETUNE_TERMINATION_LOG"
TERMINATION_LOG = "/dev/termination-log"
TERMINATION_LIMIT_BYTES = 4096
TRAINER_CONTAINER = "trainer"
RESULT_FILE = "result.json"
# Token of a Hub model or data set, in the trainer's environment; DATASET_TOKEN_ENV only where it is another one.
MODEL_TOKEN_ENV = "HF_TOKEN"
DATASET_TOKEN_ENV = "FINETUNE_DATASET_TOKEN"


class Outcome(StrEnum):
    """How a trainer's process ended, in its own words."""

    SUCCEEDED = "Succeeded"
    BAD_DATA = "BadData"
    NOT_FOUND = "NotFound"
    UNAVAILABLE = "Unavailable"
    INTERNAL = "Internal"
    TRANSIENT = "Transient"
    PERMISSION = "Permission"
    BAD_CONFIG = "BadConfig"
    OUT_OF_GPU_MEMORY = "OutOfGPUMemory"
    DIVERGED = "Diverged"
    INTERRUPTED = "Interrupted"
    STALLED = "Stalled"


# sysexits(3) where one fits, then our own from 80.
EXIT_CODES: dict[Outcome, int] = {
    Outcome.SUCCEEDED: 0,
    Outcome.BAD_DATA: 65,
    Outcome.NOT_FOUND: 66,
    Outcome.UNAVAILABLE: 69,
    Outcome.INTERNAL: 70,
    Outcome.TRANSIENT: 75,
    Outcome.PERMISSION: 77,
    Outcome.BAD_CONFIG: 78,
    Outcome.OUT_OF_GPU_MEMORY: 80,
    Outcome.DIVERGED: 81,
    Outcome.INTERRUPTED: 82,
    Outcome.STALLED: 83,
}
OUTCOME_OF_EXIT_CODE: dict[int, Outcome] = {code: outcome for outcome, code in EXIT_CODES.items()}


class JobIdentity(Schema):
    """Whose run this is."""

    namespace: str
    name: str
    uid: str
    attempt: Annotated[int, Field(ge=1)]


class SourceConfig(Schema):
    """An input. `path` is where it is mounted; without one it is a Hub repository to be downloaded."""

    uri: str
    """As the user wrote it: what messages and the model card call it."""
    path: str | None = None
    """Local folder or file, for pvc:// and file:// sources."""
    repository: str | None = None
    """ORGANISATION/NAME, for hf:// sources."""
    revision: str | None = None
    """Branch, tag or commit, for hf:// sources."""
    split: str | None = None
    """Split of a Hub data set."""
    subset: str | None = None
    """Configuration of a Hub data set."""


class ModelConfig(Schema):
    """The base model."""

    source: SourceConfig
    trust_remote_code: bool


class DatasetConfig(Schema):
    """The data, and how rows become tokens."""

    train: SourceConfig
    validation: SourceConfig | None = None
    validation_fraction: float | None = None
    format: DatasetFormat | None = None
    """None: detected from the first row."""
    columns: dict[str, str] = {}
    """Standard column name to the data's own."""
    train_on: TrainOn
    overlong: Literal["truncate", "drop"]
    empty_responses: Literal["fail", "drop"]


class AdapterConfig(Schema):
    """The LoRA adapter."""

    rank: int
    alpha: float
    dropout: float | None = None
    """None: 0.05, or 0 where experts' own parameters get an adapter."""
    target_modules: list[str]
    """["all-linear"], or names or regular suffixes of modules as PEFT understands them."""
    modules_to_save: list[str] = []


class TrainingConfig(Schema):
    """Hyperparameters, all decided."""

    epochs: float
    max_steps: int | None = None
    learning_rate: float
    effective_batch_size: int
    """Examples per optimizer step. Packed, the trainer sets packs per step so that their mean is it."""
    micro_batch_size: int
    """Sequences per device and forward pass; halved by the operator after running out of GPU memory."""
    max_sequence_length: int | None = None
    """None: 2048, or what the model can do if that is less."""
    packing: bool
    scheduler: Scheduler
    warmup_ratio: float | None = None
    warmup_steps: int | None = None
    optimizer: Optimizer
    weight_decay: float
    max_grad_norm: float
    seed: int
    gradient_checkpointing: bool
    attention: Attention | None = None
    """None: the fastest that the device and the model support."""
    loss_kernel: LossKernel | None = None
    """None: chunked, which never holds all logits."""
    sharding: Sharding = "none"
    """How the processes share the work; "none" where there is one."""
    precision: Precision | None = None
    """None: bf16 where the device has it, else fp16; fp32 on CPUs, but bf16 compute under qlora."""
    neftune_alpha: float | None = None


class CheckpointConfig(Schema):
    """How often the run is saved."""

    interval_seconds: int
    keep: int


class DestinationConfig(Schema):
    """A place that the verified result is copied to."""

    uri: str
    path: str


class OutputConfig(Schema):
    """Where the result goes."""

    uri: str
    """Of the result in the work directory, for status and the model card."""
    destinations: list[DestinationConfig] = []
    license: str | None = None
    """Licence of the model card; None: taken from the base model's card where it has one."""


class TrainerConfig(Schema):
    """One attempt, fully resolved."""

    contract_version: int
    task: Literal["train", "inspect"] = "train"
    """inspect: read model and data without a GPU, and say in `Result.inspection` what they are."""
    job: JobIdentity
    work_dir: str
    """Writable, kept across attempts: checkpoints, outputs, inputs.json, result.json, and caches."""
    port: int
    """HTTP port of /progress, /metrics and /healthz; 0: any free one, whose number is written to WORK_DIR/port."""
    accelerator: Literal["gpu", "cpu"]
    """gpu: fail clearly where there is none, rather than train for weeks on a CPU."""
    processes: int = 1
    """Processes on this node, one per GPU."""
    model: ModelConfig
    method: Method
    dataset: DatasetConfig
    adapter: AdapterConfig | None = None
    training: TrainingConfig
    checkpoint: CheckpointConfig
    output: OutputConfig

    @model_validator(mode="after")
    def _processes_share_the_work(self) -> Self:
        sharding = self.training.sharding
        if (self.processes > 1) == (sharding == "none"):
            raise ValueError(
                f"training.sharding: {sharding} means {'one process' if sharding == 'none' else 'several processes'}, "
                f"and processes is {self.processes}"
            )
        return self


class Result(Schema):
    """What a trainer's process left behind: the termination message."""

    contract_version: int = CONTRACT_VERSION
    outcome: Outcome
    reason: Annotated[str, Field(max_length=64)]
    """The cause, in one CamelCase word."""
    message: Annotated[str, Field(max_length=1500)]
    """The cause, in a sentence: what, where, what to do."""
    step: int | None = None
    """Last optimizer step that a complete checkpoint or the result holds."""
    resumed_from_step: int | None = None
    """Step of the checkpoint that this process began from."""
    metrics: Metrics | None = None
    outputs: list[Output] = []
    resolved: ResolvedInputs | None = None
    inspection: Inspection | None = None
    """Of the task inspect."""
