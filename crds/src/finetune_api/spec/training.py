"""spec.adapter and spec.training: how it learns."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from finetune_api.schema import (
    Attention,
    Fraction,
    LossKernel,
    Optimizer,
    Precision,
    Rule,
    Scheduler,
    Schema,
    Sharding,
)


class AdapterSpec(Schema):
    """The low-rank adapter of lora and qlora (Hu et al. 2021, arXiv:2106.09685)."""

    rank: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Rank of the update, r; left out: 16."""
    alpha: Annotated[float, Field(gt=0, le=4096)] | None = None
    """Scale: the update is multiplied by alpha / rank; left out: twice the rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout on the adapter's input; left out: 0.05, or 0 where experts get an adapter, which can have none."""
    target_modules: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(min_length=1, max_length=64)] | None
    ) = None
    """Modules that get an adapter, always a list; left out: [all-linear], every linear layer but the output head."""
    variant: Literal["lora", "dora", "rslora"] | None = None
    """Form of the adapter."""
    init: Literal["default", "pissa", "olora", "gaussian"] | None = None
    """How the adapter's weights begin."""
    modules_to_save: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(max_length=16)] | None
    ) = None
    """Modules trained in full and saved beside the adapter, such as embed_tokens after new tokens."""


class DPOSpec(Schema):
    """Settings of direct preference optimization."""

    beta: Annotated[float, Field(gt=0, le=10)] | None = None
    """Strength of the pull towards the reference model; left out: 0.1."""


class TrainingSpec(Schema):
    """Hyperparameters. Each says what it is when it is left out."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!(has(self.warmupRatio) && has(self.warmupSteps))",
            message="set warmupRatio or warmupSteps, not both",
            holds=lambda it: it.warmup_ratio is None or it.warmup_steps is None,
        ),
    )

    epochs: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Passes over the data; left out: 3."""
    max_steps: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Stop after so many optimizer steps, whatever epochs says."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Peak learning rate; left out: 2e-4 for lora and qlora, 2e-5 for full."""
    effective_batch_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Examples per optimizer step, over GPUs and accumulation, packed or not; left out: 16. Never changed silently."""
    max_sequence_length: Annotated[int, Field(ge=8, le=10_000_000)] | None = None
    """Longest sequence, in tokens; left out: 2048, or what the model can do if that is less."""
    packing: bool | None = None
    """Several short examples in one sequence, none seeing another; left out: true, where the model can keep them apart:
    one with recurrent layers (Qwen3.5, Granite 4, LFM2, MiniMax) can't.
    """
    scheduler: Scheduler | None = None
    """Learning rate schedule; left out: cosine."""
    warmup_ratio: Fraction | None = None
    """Share of the steps in which the learning rate rises; left out: 0.03."""
    warmup_steps: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Number of such steps, instead of warmupRatio."""
    optimizer: Optimizer | None = None
    """Optimizer; left out: adamw, or for adapters adamw8bit or pagedAdamw8bit where only that fits."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] | None = None
    """Decoupled weight decay; left out: 0."""
    max_grad_norm: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Gradients are scaled down to this norm; left out: 1."""
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] | None = None
    """Seed of data order, splits, dropout and new weights; left out: 42."""
    micro_batch_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Sequences that one GPU takes at once; left out: what fits. Accumulation makes up the rest."""
    gradient_checkpointing: bool | None = None
    """Recompute activations in the backward pass: a third more time, much less memory; left out: where it is needed."""
    attention: Attention | None = None
    """Attention kernel; left out: the fastest that the GPU and the model support."""
    loss_kernel: LossKernel | None = None
    """How the cross-entropy is computed; left out: chunked, which never holds all logits."""
    precision: Precision | None = None
    """Arithmetic of the passes; left out: bf16 where the GPU has it, else fp16; on CPUs fp32, and bf16 for qlora."""
    sharding: Sharding | None = None
    """How several GPUs share the work: ddp (each has the whole model), fsdp (each has a part); left out: sized."""
    neftune_alpha: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Noise on the embeddings while training (NEFTune, arXiv:2310.05914); left out: none."""
    dpo: DPOSpec | None = None
    """Settings of the dpo objective."""
