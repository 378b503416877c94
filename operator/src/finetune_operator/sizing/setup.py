"""A run, as far as its memory and its speed depend on it: what the user asks for and what the engine does about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from finetune_api.schema import LossKernel, Method, Optimizer, Precision, Schema, Sharding
from finetune_operator.sizing.architecture import Architecture

Kernel = Literal["flash", "sdpa", "eager"]
"""flash: no mask, linear memory. sdpa: likewise, but packed sequences need a mask. eager: scores are materialised."""


class Engine(Schema):
    """What is the engine's and not the user's. The defaults are our trainer's; `finetune plan --assume` changes them,
    so that a measurement of another engine can be put to the model.
    """

    loss_kernel: LossKernel = "chunked"
    """chunked and liger never hold all logits; eager does, in fp32 too."""
    loss_precision: Literal["fp32", "half"] = "fp32"
    """Of the eager loss: half where neither the model nor autocast makes logits fp32."""
    held_logits: bool = False
    """The training loop still refers to the eager loss's logits in the backward pass."""
    adapter_precision: Literal["fp32", "bf16"] = "fp32"
    """In which adapters, their gradients and their optimizer states are kept."""
    optimizer_precision: Literal["fp32", "bf16"] = "fp32"
    """Of the moments of AdamW over weights in bf16."""
    optimizer_kernel: Literal["fused", "foreach", "foreach-2.0"] = "fused"
    """foreach, torch's own default, updates all parameters at once and needs their denominators beside them; that of
    torch 2.0 needs them twice.
    """
    optimizer_in_backward: bool = False
    """Each gradient is used and freed as soon as it is there."""
    master_weights: bool = False
    """Full fine-tuning of fp32 weights under autocast, instead of bf16 weights rounded at random."""
    quantization: Literal["nf4-dq", "nf4", "int4-gptq", "int8"] = "nf4-dq"
    """Of the base model under qlora; dq: with double quantization."""
    quantized_inputs: Literal["freed", "kept"] = "freed"
    """Inputs of quantised matrices: bitsandbytes before 0.44 kept them for the backward pass."""
    quantized_loading: Literal["whole", "sharded"] = "whole"
    """Under fsdp, each accelerator quantises and holds the whole model before it is cut up, or only its part."""
    gradient_buckets_gib: float = Field(0, ge=0, allow_inf_nan=False)
    """Buckets of gradients in the backward pass, on one accelerator too, as DeepSpeed's ZeRO-2 has them."""
    activation_offload: bool = False
    """Checkpoints of the layers' inputs are kept in host memory."""
    compiled: bool = False
    """torch.compile fuses element-wise operations, which then keep less."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that the memory of one accelerator depends on."""

    architecture: Architecture
    method: Method
    micro_batch_size: int
    """Sequences per accelerator and forward pass."""
    sequence_length: int
    """Tokens of each, padding included."""
    gradient_checkpointing: bool
    optimizer: Optimizer = "adamw"
    objective: Literal["sft", "dpo"] = "sft"
    packed: bool = True
    """A sequence is several examples, none of which sees another."""
    kernel: Kernel = "sdpa"
    precision: Precision = "bf16"
    """Of the arithmetic."""
    rank: int = 16
    dropout: float = 0.05
    """Of the adapter's input."""
    target_modules: tuple[str, ...] = ("all-linear",)
    modules_to_save: tuple[str, ...] = ()
    accumulation: int = 1
    """Forward passes per optimizer step; above 1 the gradients of earlier ones are there during the backward pass."""
    accelerators: int = 1
    """That share the work."""
    sharding: Sharding = "none"
    device: Literal["gpu", "cpu"] = "gpu"
    generation: Generation | None = None
    """The evaluation's, where there is one."""
    engine: Engine = field(default_factory=Engine)

    @property
    def tokens(self) -> int:
        """Of one forward pass on one accelerator."""
        return self.micro_batch_size * self.sequence_length


@dataclass(frozen=True, slots=True)
class Generation:
    """Text made while evaluating: its keys and values are cached."""

    batch_size: int
    context: int
    """Tokens of prompt and answer."""
