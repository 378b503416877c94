"""What a job asks for, as far as the choice depends on it: what the user wrote, and what is known of the inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from finetune_api.schema import Method, Optimizer, Precision, Sharding
from finetune_api.spec.resources import ResourcesSpec
from finetune_api.spec.training import AdapterSpec, TrainingSpec
from finetune_operator.sizing import batch, defaults
from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.cluster.offers import is_slice
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.memory.trained import adapted
from finetune_operator.sizing.setup import Engine, Generation, Kernel, Setup

LONGEST_UNASKED = 2048
"""Tokens; spec.training.maxSequenceLength promises it."""
_FLASH = ("flashAttention2", "flashAttention3")


_HOPPER = ("H100", "H200", "H20", "GH200")


def shardable(optimizer: Optimizer | None) -> bool:
    """Whether it can update weights that are sharded: those of bitsandbytes know nothing of DTensors."""
    return optimizer in (None, "adamw")


@dataclass(frozen=True, slots=True)
class Request:
    """One job. What is None in the spec's parts is open to the choice; the rest is kept as it is."""

    method: Method
    architecture: Architecture
    adapter: AdapterSpec = field(default_factory=AdapterSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    resources: ResourcesSpec = field(default_factory=ResourcesSpec)
    objective: Literal["sft", "dpo"] = "sft"
    data: DataFacts = field(default_factory=DataFacts)
    engine: Engine = field(default_factory=Engine)
    generation: Generation | None = None
    max_nodes: int = 1
    """Nodes that a job may be given where one cannot do it."""
    checkpoint_seconds: int = defaults.CHECKPOINT_INTERVAL_SECONDS
    """Of training between checkpoints."""

    @property
    def effective_batch_size(self) -> int:
        """Examples per optimizer step."""
        return batch.effective_batch_size(self.training.effective_batch_size)

    @property
    def epochs(self) -> float:
        """Passes over the data."""
        return defaults.EPOCHS if self.training.epochs is None else self.training.epochs

    @property
    def packed(self) -> bool:
        """Whether a sequence is several examples; a preference pair stays alone, and what would see the one before."""
        packing = defaults.PACKING if self.training.packing is None else self.training.packing
        return packing and self.objective == "sft" and not self.architecture.recurrent

    @property
    def kernel(self) -> Kernel:
        """The attention kernel that the memory must allow for: a faster one than was asked for is a bonus."""
        match self.training.attention:
            case "flashAttention2" | "flashAttention3":
                return "flash"
            case "eager":
                return "eager"
            case _:
                return "sdpa"

    @property
    def target_modules(self) -> tuple[str, ...]:
        """Names of what gets an adapter, as PEFT matches them."""
        asked = self.adapter.target_modules
        return defaults.TARGET_MODULES if asked is None else tuple(asked)

    @property
    def adapts_experts(self) -> bool:
        """Whether experts' or routers' own parameters get an adapter."""
        smallest = Setup(
            architecture=self.architecture,
            method=self.method,
            micro_batch_size=1,
            sequence_length=1,
            gradient_checkpointing=False,
            target_modules=self.target_modules,
        )
        return any(not each.linear.module for each in adapted(smallest))

    @property
    def dropout(self) -> float:
        """On the adapter's input. Experts' parameters can have none: PEFT 0.21 adds their adapter to the weights
        (tuners/lora/layer.py, ParamWrapper).
        """
        if self.adapter.dropout is not None:
            return self.adapter.dropout
        return 0.0 if self.adapts_experts else defaults.DROPOUT

    @property
    def max_sequence_length(self) -> int:
        """Tokens that an example is cut at, and a pack is filled to."""
        if self.training.max_sequence_length is not None:
            return self.training.max_sequence_length
        return min(LONGEST_UNASKED, self.architecture.max_positions or LONGEST_UNASKED)

    @property
    def sequence_length(self) -> int:
        """Tokens of the longest sequence that a forward pass can meet.

        Packs are filled to the limit whatever the rows are; a single example is no longer than the longest row.
        """
        longest = self.data.longest_tokens
        if self.packed or longest is None or self.data.estimated:
            return self.max_sequence_length
        return min(self.max_sequence_length, max(longest, 1))

    @property
    def data_is_known(self) -> bool:
        """Whether there is enough to tell time and cost."""
        return self.data.rows is not None and self.data.tokens is not None

    @property
    def one_by_one(self) -> bool:
        """Packs go alone, as the trainer has it: without a flash kernel a mask of several would be over all of them."""
        return self.packed and self.kernel != "flash"

    def precision(self, hardware: Hardware) -> Precision:
        """Of the arithmetic: the trainer's rule."""
        if self.training.precision is not None:
            return self.training.precision
        if hardware.device == "cpu":
            return "bf16" if self.method == "qlora" else "fp32"
        return "bf16" if hardware.bf16 else "fp16"

    def objection(self, hardware: Hardware) -> str | None:
        """Why the trainer would refuse this hardware, in its own words where it has some; None: it would not."""
        name, cpu = hardware.name, hardware.device == "cpu"
        count, precision, attention = self.resources.count, self.training.precision, self.training.attention
        known_as = (name, *hardware.aliases, *hardware.products)
        if count is not None and count > 1 and is_slice(hardware):
            return f"spec.resources.count: {name} is a slice of a GPU, and a process sees only one; use 1"
        if precision == "bf16" and not cpu and not hardware.bf16:
            return f"spec.training.precision: {name} has no bfloat16; use fp16 or leave it out"
        if precision == "fp16" and cpu:
            return "spec.training.precision: fp16 needs a GPU; use fp32 or bf16 on CPUs"
        if attention in _FLASH and (cpu or not hardware.bf16):
            return (
                f"spec.training.attention: {attention} needs a GPU of compute capability 8.0 or more, and {name} is "
                "none; leave it out for the fastest that works there"
            )
        if attention == "flashAttention3" and not any(chip in each for chip in _HOPPER for each in known_as):
            return (
                f"spec.training.attention: flashAttention3 needs a Hopper GPU, and {name} is none; leave it out for "
                "the fastest that works there"
            )
        if attention == "flex" and cpu:
            return "spec.training.attention: flex needs a GPU; leave it out for the fastest that works on a CPU"
        return None

    def setup(
        self,
        hardware: Hardware,
        *,
        accelerators: int,
        sharding: Sharding,
        micro_batch_size: int,
        gradient_checkpointing: bool,
        optimizer: Optimizer,
    ) -> Setup:
        """The run that these choices make."""
        adapter, training = self.adapter, self.training
        engine = self.engine
        if training.loss_kernel is not None:
            engine = engine.model_copy(update={"loss_kernel": training.loss_kernel})
        return Setup(
            architecture=self.architecture,
            method=self.method,
            micro_batch_size=micro_batch_size,
            sequence_length=self.sequence_length,
            gradient_checkpointing=gradient_checkpointing,
            optimizer=optimizer,
            objective=self.objective,
            packed=self.packed,
            kernel=self.kernel,
            precision=self.precision(hardware),
            rank=defaults.RANK if adapter.rank is None else adapter.rank,
            dropout=self.dropout,
            target_modules=self.target_modules,
            modules_to_save=tuple(adapter.modules_to_save or ()),
            accumulation=self.share(accelerators) // micro_batch_size,
            accelerators=accelerators,
            sharding=sharding,
            device=hardware.device,
            generation=self.generation,
            engine=engine,
        )

    def can_be_shared(self, accelerators: int) -> bool:
        """Whether a step's examples can, evenly. Packs of a step are counted so that they can, but each accelerator
        must have an example (finetune_trainer.data.packing).
        """
        effective = self.effective_batch_size
        return effective % accelerators == 0 or (self.packed and accelerators <= effective)

    def share(self, accelerators: int) -> int:
        """Sequences of an optimizer step for each accelerator; packed, at most so many."""
        return self.effective_batch_size // accelerators
