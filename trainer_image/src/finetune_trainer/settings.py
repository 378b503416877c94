"""What a configuration means on a given device. Pure: what a GPU would be asked to do can be tested without one.

The device is a value that is passed in; nothing here asks torch anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from finetune_api.contract import Outcome, TrainerConfig, TrainingConfig
from finetune_api.schema import LossKernel
from finetune_trainer.failure import Failure

DType = Literal["bfloat16", "float16", "float32"]
_AMPERE = (8, 0)
_HOPPER = (9, 0)

STOCHASTIC_ADAMW = "stochastic_adamw"
"""Ours (`optimizer`), for weights in bfloat16. The others are transformers' names."""
# bitsandbytes'; the moments of the paged ones move to host memory under pressure.
_OPTIMIZERS = {"adamw8bit": "adamw_bnb_8bit", "pagedAdamw": "paged_adamw_32bit", "pagedAdamw8bit": "paged_adamw_8bit"}
SCHEDULERS = {
    "cosine": "cosine",
    "linear": "linear",
    "constant": "constant",
    "constantWithWarmup": "constant_with_warmup",
    "cosineWithRestarts": "cosine_with_restarts",
    "polynomial": "polynomial",
    "inverseSqrt": "inverse_sqrt",
}
_ATTENTION = {
    "eager": "eager",
    "sdpa": "sdpa",
    "flashAttention2": "flash_attention_2",
    "flashAttention3": "flash_attention_3",
    "flex": "flex_attention",
}
_DTYPES: dict[str, DType] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


@dataclass(frozen=True, slots=True)
class Device:
    """What one process trains on."""

    kind: Literal["cuda", "cpu"]
    name: str
    capability: tuple[int, int] = (0, 0)
    """CUDA compute capability: (7, 5) is a T4, (8, 0) an A100, (9, 0) an H100."""
    memory_bytes: int = 0
    flash_attention_2: bool = False
    """The flash-attn package is installed."""
    flash_attention_3: bool = False
    """The flash-attn-3 package is installed."""
    liger: bool = False
    """The liger-kernel package is installed."""

    @property
    def bf16(self) -> bool:
        """Whether the hardware computes in bfloat16. Older GPUs emulate it, slower than fp32."""
        return self.kind == "cpu" or self.capability >= _AMPERE


@dataclass(frozen=True, slots=True)
class Sharded:
    """FSDP2 with a full shard: every process keeps an equal part of each layer and gathers one layer at a time."""

    gathered: DType
    """In which gathered weights compute. Each is kept as it is loaded: an adapter in fp32 beside a base in bf16."""
    reduced: DType
    """In which gradients are added up over the processes."""
    quant_storage: DType | None
    """As which type 4-bit weights are stored: FSDP2 shards floating-point parameters alone. None: nothing is 4-bit."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the engines are set up."""

    weights: DType
    """In which the base model is loaded; under qlora, that of what is not quantised, and of the arithmetic."""
    trainable: DType
    """In which trained weights are kept."""
    autocast: DType | None
    """Of mixed-precision arithmetic; None: everything is computed as it is stored."""
    tf32: bool
    attention: str
    varlen: bool
    """The attention kernel takes packed sequences as they are. Else a mask is built for them, quadratic in length."""
    optimizer: str
    loss_kernel: LossKernel
    """eager: transformers' own, which holds all logits; chunked: TRL's, which doesn't; liger: Liger's fused one."""
    pin_memory: bool
    sharded: Sharded | None = None
    """How FSDP2 splits the model over the processes; None: each process has all of it."""


def settings(config: TrainerConfig, device: Device) -> Settings:
    """The setup for `config` on `device`. Raises BAD_CONFIG where the device can't do what is asked for."""
    precision = _precision(config, device)
    attention = _attention(config.training, device, precision)
    sharded = _sharded(config, precision)
    return Settings(
        weights=_weights(config, precision),
        trainable=_trainable(config, precision),
        # gathered weights have the type of the arithmetic already; fp16 needs the scaler that comes with autocast
        autocast=None if precision == "float32" or (sharded and precision == "bfloat16") else precision,
        tf32=device.kind == "cuda" and device.capability >= _AMPERE,
        attention=attention,
        varlen=attention.startswith("flash_attention"),
        optimizer=_optimizer(config.training, device, _trainable(config, precision)),
        loss_kernel=_loss_kernel(config.training, device),
        pin_memory=device.kind == "cuda",
        sharded=sharded,
    )


@dataclass(frozen=True, slots=True)
class Batching:
    """How the sequences of one optimizer step are cut up."""

    micro_batch_size: int
    """Sequences per process and forward pass."""
    accumulation: int
    """Forward passes per optimizer step."""


def batching(*, per_step: int, micro_batch_size: int, processes: int, one_by_one: bool) -> Batching:
    """Cut `per_step` sequences (examples, or packs) so that their number per optimizer step stays exactly what it is.

    `one_by_one`: packs go alone, because the mask of several would be built over all of them.
    The micro-batch is the largest divisor that is not above the one asked for.
    """
    if per_step % processes:
        raise Failure(
            Outcome.BAD_CONFIG,
            "BatchNotDivisible",
            f"training.effectiveBatchSize: {per_step} sequences per step can't be shared evenly by {processes} "
            f"processes; use a multiple of {processes}",
        )
    share = per_step // processes
    limit = 1 if one_by_one else min(micro_batch_size, share)
    micro = next(size for size in range(limit, 0, -1) if share % size == 0)
    return Batching(micro_batch_size=micro, accumulation=share // micro)


def _precision(config: TrainerConfig, device: Device) -> DType:
    asked = config.training.precision
    if asked == "bf16" and not device.bf16:
        raise Failure(
            Outcome.BAD_CONFIG,
            "PrecisionUnsupported",
            f"training.precision: {device.name} has no bfloat16; use fp16 or leave it out",
        )
    if asked == "fp16" and device.kind == "cpu":
        raise Failure(
            Outcome.BAD_CONFIG, "PrecisionUnsupported", "training.precision: fp16 needs a GPU; use fp32 or bf16 on CPUs"
        )
    if asked is not None:
        return _DTYPES[asked]
    if device.kind == "cpu":
        # bf16 halves what small CPU runs can learn and makes none of them faster, but NF4 is only fast in bf16
        return "bfloat16" if config.method == "qlora" else "float32"
    return "bfloat16" if device.bf16 else "float16"


def _weights(config: TrainerConfig, precision: DType) -> DType:
    # Gradients of fp16 weights can't be unscaled: what is trained under fp16 must be held in fp32.
    if precision == "float16" and config.method == "full":
        return "float32"
    return precision


def _trainable(config: TrainerConfig, precision: DType) -> DType:
    # An adapter is small: in fp32 it loses no update to rounding, and the libraries' fused optimizers serve it.
    return _weights(config, precision) if config.method == "full" else "float32"


def _attention(training: TrainingConfig, device: Device, precision: DType) -> str:
    half = precision in ("bfloat16", "float16")
    can_2 = device.kind == "cuda" and device.flash_attention_2 and device.capability >= _AMPERE and half
    can_3 = device.kind == "cuda" and device.flash_attention_3 and device.capability[0] == _HOPPER[0] and half
    match training.attention:
        case None:
            return "flash_attention_2" if can_2 else "sdpa"
        case "flashAttention2" if not can_2:
            raise _no_attention("flashAttention2", "flash-attn and a GPU of compute capability 8.0", device)
        case "flashAttention3" if not can_3:
            raise _no_attention("flashAttention3", "flash-attn-3 and a Hopper GPU", device)
        case "flex" if device.kind == "cpu":
            raise _no_attention("flex", "a GPU", device)
        case asked:
            return _ATTENTION[asked]


def _loss_kernel(training: TrainingConfig, device: Device) -> LossKernel:
    if training.loss_kernel == "liger" and not (device.kind == "cuda" and device.liger):
        missing = "a GPU" if device.kind == "cpu" else "the package liger-kernel, which this image does not have"
        raise Failure(
            Outcome.BAD_CONFIG,
            "LossKernelUnavailable",
            f"training.lossKernel: liger needs {missing}; chunked holds no more memory and needs neither",
        )
    return training.loss_kernel or "chunked"


def _sharded(config: TrainerConfig, precision: DType) -> Sharded | None:
    if config.training.sharding != "fsdp":
        return None
    if "8bit" in config.training.optimizer or config.training.optimizer.startswith("paged"):
        raise Failure(
            Outcome.BAD_CONFIG,
            "OptimizerCannotShard",
            f"training.optimizer: {config.training.optimizer} is bitsandbytes', which can't update weights that are "
            "sharded; use adamw, or training.sharding: ddp",
        )
    return Sharded(
        gathered=precision,
        reduced="float32",
        quant_storage=precision if config.method == "qlora" else None,
    )


def _no_attention(asked: str, needs: str, device: Device) -> Failure:
    return Failure(
        Outcome.BAD_CONFIG,
        "AttentionUnsupported",
        f"training.attention: {asked} needs {needs} and half precision, and this is {device.name}; "
        "leave it out for the fastest that works here",
    )


def _optimizer(training: TrainingConfig, device: Device, trainable: DType) -> str:
    if training.optimizer == "adamw" and trainable == "bfloat16":
        return STOCHASTIC_ADAMW
    if training.optimizer == "adamw":
        return "adamw_torch_fused" if device.kind == "cuda" else "adamw_torch"
    if device.kind == "cpu" and training.optimizer.startswith("paged"):
        # a CPU has nothing to page to: the same arithmetic without the paging
        return "adamw_bnb_8bit" if training.optimizer == "pagedAdamw8bit" else "adamw_torch"
    return _OPTIMIZERS[training.optimizer]
