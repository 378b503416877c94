"""status of a FineTuneJob."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from finetune_api.inspection import Inspection
from finetune_api.schema import Optimizer, Schema, Sharding

Phase = Literal[
    "Pending", "Queued", "Starting", "Training", "Evaluating", "Exporting", "Suspended", "Succeeded", "Failed"
]
TERMINAL_PHASES: frozenset[str] = frozenset({"Succeeded", "Failed"})
Stage = Literal["Loading", "Training", "Evaluating", "Exporting", "Done"]


class Condition(Schema):
    """One aspect of the job's state, for machines (the shape of metav1.Condition)."""

    type: Annotated[str, Field(max_length=316)]
    """Reconciling, Stalled, Sized, Admitted, Suspended, Trained, Evaluated, Exported, Complete or Failed."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: int | None = None
    """The spec's generation that this speaks of."""
    last_transition_time: AwareDatetime
    """When status last changed."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """The cause, in one CamelCase word."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """The cause, in a sentence."""


class MemoryTerms(Schema):
    """What the memory of one accelerator is taken by when it is fullest, in GiB (2^30 bytes)."""

    weights: float = 0
    """The base model, as it is stored for training."""
    adapters: float = 0
    """Weights of the adapter, and modules trained in full beside it."""
    gradients: float = 0
    """Of what is trained."""
    optimizer: float = 0
    """The optimizer's states."""
    activations: float = 0
    """What the forward pass keeps for the backward pass."""
    logits: float = 0
    """The output head and the loss."""
    buffers: float = 0
    """Weights that are dequantised, cast or gathered for a moment, and buffers of communication."""
    reference: float = 0
    """The frozen model that dpo compares with."""
    generation: float = 0
    """Keys and values cached while evaluating."""
    context: float = 0
    """The device's own: CUDA context and libraries; of a CPU run, the program and its libraries."""
    fragmentation: float = 0
    """What the allocator holds and cannot give."""


class Memory(Schema):
    """Memory of one accelerator, in GiB (2^30 bytes); of a CPU run, memory of its process."""

    total_gib: float | None = None
    """Expected peak."""
    required_gib: float | None = None
    """Expected peak with the safety margin: what a plan must have."""
    available_gib: float | None = None
    """Memory of the accelerator, as its driver reports it."""
    terms: MemoryTerms | None = None
    """Expected peak by what takes it; their sum is totalGiB."""


class Alternative(Schema):
    """A plan that was not chosen."""

    accelerator: str
    """Kind of accelerator."""
    count: int
    """Accelerators per node."""
    nodes: int = 1
    """Number of nodes."""
    sharding: Sharding | None = None
    """How they share the work."""
    optimizer: Optimizer | None = None
    """Optimizer."""
    micro_batch_size: int | None = None
    """Sequences per accelerator and forward pass."""
    gradient_checkpointing: bool | None = None
    """Whether activations are recomputed."""
    required_gib: float | None = None
    """Predicted memory per accelerator, with the safety margin."""
    estimated_seconds: int | None = None
    """Predicted time."""
    estimated_cost_usd: float | None = None
    """Predicted cost."""
    why: str
    """Why it lost."""


class Host(Schema):
    """What the training pod has beside its accelerators, unless the job says so itself or a setting is more."""

    memory_gib: int
    """Memory of the pod, in GiB (2^30 bytes)."""
    shared_memory_gib: int
    """Size of /dev/shm, in GiB; a part of the pod's memory."""
    storage_gib: int
    """Size of the work volume, in GiB."""
    grace_seconds: int
    """Time from SIGTERM to SIGKILL: for the step that is being made and a checkpoint."""


class Sizing(Schema):
    """What the job runs on and how it is split, worked out before anything starts."""

    accelerator: str
    """Kind of accelerator, as in the hardware table."""
    count: int
    """Accelerators per node."""
    nodes: int
    """Number of nodes."""
    gpus: int | None = None
    """Accelerators in all, count times nodes; 0 on CPUs."""
    sharding: Sharding | None = None
    """How several accelerators share the work: none, ddp (each has the whole model) or fsdp (each has a part)."""
    micro_batch_size: int | None = None
    """Sequences per accelerator and forward pass."""
    gradient_accumulation_steps: int | None = None
    """Forward passes per optimizer step."""
    gradient_checkpointing: bool | None = None
    """Whether activations are recomputed."""
    optimizer: Optimizer | None = None
    """Optimizer."""
    max_sequence_length: int | None = None
    """Longest sequence, in tokens."""
    parameters: int | None = None
    """Parameters of the base model; left out where its shape is not known."""
    trainable_parameters: int | None = None
    """Parameters that are trained."""
    memory: Memory | None = None
    """Predicted memory per accelerator."""
    host: Host | None = None
    """What else the pod is given; left out where the model's shape is not known."""
    tokens: int | None = None
    """Tokens of one epoch."""
    tokens_estimated: bool | None = None
    """True where they were estimated from the size of the data, and not counted."""
    estimated_seconds: int | None = None
    """Predicted time, from loading to export; left out where the number of tokens is not known."""
    price_usd_per_hour: float | None = None
    """Price of one accelerator for an hour that the cost is predicted with."""
    estimated_cost_usd: float | None = None
    """Predicted cost; left out where no price or no time is known."""
    alternatives: Annotated[list[Alternative], Field(max_length=3)] | None = None
    """The best plans that were not chosen, and why."""
    notes: list[str] | None = None
    """What else there is to say about how it was chosen, such as what the job waits for."""


class Progress(Schema):
    """How far the run is. The trainer's /progress answers with the same model."""

    stage: Stage | None = None
    """What the trainer is doing."""
    step: int | None = None
    """Optimizer steps done."""
    max_steps: int | None = None
    """Optimizer steps in all."""
    percent: int | None = None
    """Steps done, in percent."""
    epoch: float | None = None
    """Passes over the data done."""
    loss: float | None = None
    """Training loss of the last logged step."""
    eval_loss: float | None = None
    """Loss on the validation rows, where there are any."""
    learning_rate: float | None = None
    """Current learning rate."""
    tokens_per_second: float | None = None
    """Real (not padding) tokens trained per second."""
    eta_seconds: int | None = None
    """Expected time to the end of training."""
    last_heartbeat_time: AwareDatetime | None = None
    """When the trainer last made a step or changed its stage."""


class Display(Schema):
    """The same state in the form that `kubectl get` shows. For people: machines read the numbers beside it."""

    progress: str | None = None
    """Steps done, in percent, such as 42%; outside of training the trainer's stage, such as Loading."""
    eta: str | None = None
    """Expected time to the end of training, in two units at most: 3d4h, 2h5m, 12m30s or 45s."""
    loss: str | None = None
    """Training loss of the last logged step, four significant digits: 1.234."""
    cost: str | None = None
    """Money spent, such as $3.10; before the start what is expected, as ~$3.10; nothing where no price is known."""


class Attempt(Schema):
    """One try: a Job with, where it was interrupted, several pods one after the other."""

    number: int
    """Counting from 1."""
    job_name: str
    """Name of the batch/v1 Job."""
    start_time: AwareDatetime | None = None
    """When the Job was created."""
    running_time: AwareDatetime | None = None
    """When the trainer of the newest pod started: what a cost is counted from."""
    finish_time: AwareDatetime | None = None
    """When it ended."""
    outcome: str | None = None
    """How it ended."""
    reason: str | None = None
    """The cause, in one CamelCase word."""
    message: str | None = None
    """The cause, in a sentence."""
    resumed_from_step: int | None = None
    """Step of the checkpoint that it went on from."""
    interruptions: int | None = None
    """Pods lost to eviction, preemption, deletion or a drained node within this attempt."""
    interruptions_without_progress: int | None = None
    """How many of them, the last ones, came no further than the run was before."""
    furthest_step: int | None = None
    """The furthest step known of it when it was last interrupted, or ended."""
    micro_batch_size: int | None = None
    """Micro-batch of this attempt: halved after running out of GPU memory."""


class Metrics(Schema):
    """What the trainer measured."""

    epochs: float | None = None
    """Passes over the data."""
    train_loss: float | None = None
    """Mean training loss of the run."""
    final_loss: float | None = None
    """Training loss of the last step."""
    eval_loss: float | None = None
    """Loss on the validation rows, at the end."""
    perplexity: float | None = None
    """exp(evalLoss)."""
    train_rows: int | None = None
    """Rows trained on."""
    train_tokens: int | None = None
    """Tokens of one epoch."""
    trained_tokens: int | None = None
    """Tokens of one epoch that the loss counts."""


class Output(Schema):
    """One artifact of the result."""

    kind: Literal["adapter", "model"]
    """adapter (PEFT) or model (full weights)."""
    uri: str
    """Where it lies."""
    digest: str
    """sha256: of the artifact's manifest of file digests."""
    size_bytes: int
    """Size of all files."""


class Cost(Schema):
    """What the job has used so far."""

    gpu_seconds: float | None = None
    """Accelerators times seconds, over all attempts."""
    spent_usd: float | None = None
    """Money spent, where a price is known."""


class Advice(Schema):
    """Something that may be worth changing. Never a refusal."""

    code: str
    """The rule, in one CamelCase word."""
    message: str
    """The rule's reason, in a sentence."""


class ResolvedInputs(Schema):
    """The exact inputs, pinned at the first start so that a resume never changes them."""

    model_revision: str | None = None
    """Commit of a hf:// model."""
    dataset_revision: str | None = None
    """Commit of a hf:// data set."""


class FineTuneJobStatus(Schema):
    """What has become of the job."""

    observed_generation: int | None = None
    """The spec's generation that this status speaks of."""
    phase: Phase | None = None
    """State in one word, for people; conditions are for machines."""
    conditions: list[Condition] | None = None
    """State in parts, keyed on type."""
    inspection: Inspection | None = None
    """What was read of the inputs before the job was sized."""
    sizing: Sizing | None = None
    """What the job runs on."""
    progress: Progress | None = None
    """How far the run is."""
    display: Display | None = None
    """What `kubectl get` shows of it."""
    attempts: list[Attempt] | None = None
    """All tries, oldest first."""
    resolved: ResolvedInputs | None = None
    """The exact inputs."""
    metrics: Metrics | None = None
    """What the trainer measured."""
    outputs: list[Output] | None = None
    """The result."""
    cost: Cost | None = None
    """What the job has used."""
    advice: list[Advice] | None = None
    """What may be worth changing."""
    start_time: AwareDatetime | None = None
    """When the first attempt was created."""
    completion_time: AwareDatetime | None = None
    """When the job reached its end."""
