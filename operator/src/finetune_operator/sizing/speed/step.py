"""Seconds of one optimizer step.

A pass takes the accelerator the time of its products (operations over peak x utilisation, or reading the matrices if
that takes longer), of what lies between them (bytes over bandwidth x utilisation) and of dequantising. It takes the
host the time of starting the kernels, at the same time: with few tokens the accelerator waits for the host. To that
come what accelerators tell each other, and the update of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.memory import trained
from finetune_operator.sizing.setup import Setup
from finetune_operator.sizing.speed import flops, traffic
from finetune_operator.sizing.speed.communication import exposed, gather, per_pass, per_step, sharding
from finetune_operator.sizing.speed.flops import Flops
from finetune_operator.sizing.speed.traffic import Traffic
from finetune_operator.sizing.speed.utilisation import utilisation

DEQUANTISING = 0.27
"""Share of the memory's bandwidth that bitsandbytes' NF4 kernel reaches: Llama 2 7B and 13B in LitGPT's tables are
2 x 40 and 2 x 95 ms slower a pass than in 16 bits on an A100, 2 x 100 ms on an A10G."""
MASKED_ATTENTION = 0.5
"""Speed of attention with a mask over all scores, which only sdpa's memory-efficient kernel takes, against fused
attention without one (FlashAttention-2, arXiv:2307.08691, figure 4: xformers' kernel)."""
LAYER_FORWARD, LAYER_BACKWARD = 0.8e-3, 0.7e-3
"""Seconds that the host needs to start the kernels of a layer."""
ADAPTER_FORWARD, ADAPTER_BACKWARD = 0.15e-3, 0.1e-3
"""The same of one adapted module. With the layer's: 5 ms a layer in the Qwen README's steps of 256 tokens."""
LAUNCHES_COMPILED = 0.4
"""Share that is left where kernels are fused."""
STEP_OVERHEAD = 0.02
"""Seconds of logging, scheduling and reading the loss, once a step."""
_UPDATE = {"fp32": 135, "bf16": 54}
"""Bytes per trained weight of AdamW, one kernel after the other: ours in fp32 with random rounding; torch's, all in
bf16 (PEFT's method_comparison: Llama 3.2 3B in full takes 0.2 s more a step than with an adapter, on an L40S)."""
_UPDATE_FP32_WEIGHTS = 96
_UPDATE_8BIT = 16
"""bitsandbytes' is one kernel; clipping reads the gradients twice."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one optimizer step on each accelerator."""

    passes: float
    """Forward and backward, of all accumulated micro-batches."""
    communication: float
    """Of what is not hidden behind the passes."""
    optimizer: float
    """Update of the weights."""
    overhead: float
    flops: float
    """Floating-point operations of the step on each accelerator, recomputed ones included."""

    @property
    def seconds(self) -> float:
        return self.passes + self.communication + self.optimizer + self.overhead


def step(
    setup: Setup, hardware: Hardware, *, nodes: int = 1, accumulation: float, example_tokens: float | None = None
) -> StepTime | None:
    """Of `accumulation` micro-batches of `setup.tokens` on each accelerator; None: its speed is not in the table."""
    if hardware.tflops is None or hardware.bandwidth_gbs is None:
        return None
    operations = flops.training(setup, example_tokens=example_tokens)
    one = pass_seconds(setup, hardware, operations, traffic.training(setup), host=_host(setup, backward=True))
    gathered = exposed(per_pass(setup, hardware, nodes=nodes), hidden_by=one) + sharding(setup)
    reduced = exposed(per_step(setup, hardware, nodes=nodes), hidden_by=one / 2)
    return StepTime(
        passes=one * accumulation,
        communication=gathered * accumulation + reduced,
        optimizer=_update_bytes(setup) / _bandwidth(hardware),
        overhead=STEP_OVERHEAD,
        flops=operations.total * accumulation,
    )


def forward(setup: Setup, hardware: Hardware, *, nodes: int = 1, example_tokens: float | None = None) -> float | None:
    """Seconds of one forward pass over `setup.tokens`, as in an evaluation."""
    if hardware.tflops is None or hardware.bandwidth_gbs is None:
        return None
    operations = flops.evaluation(setup, example_tokens=example_tokens)
    one = pass_seconds(setup, hardware, operations, traffic.evaluation(setup), host=_host(setup, backward=False))
    gathered = exposed(gather(setup, hardware, nodes=nodes), hidden_by=one) + sharding(setup) / 2
    return one + gathered


def pass_seconds(setup: Setup, hardware: Hardware, operations: Flops, moved: Traffic, *, host: float) -> float:
    """Of one pass. Where host and accelerator need about the same, neither hides the other wholly: hence the norm."""
    device = device_seconds(setup, hardware, operations, moved)
    return float((device**4 + host**4) ** 0.25)


def device_seconds(setup: Setup, hardware: Hardware, operations: Flops, moved: Traffic) -> float:
    """Of the accelerator's part of a pass."""
    share = utilisation(hardware)
    peak = (hardware.tflops or 0.0) * 1e12
    bandwidth = _bandwidth(hardware)
    masked = setup.kernel == "sdpa" and setup.packed
    products = (operations.layers + operations.adapters + operations.head) / (peak * share.matmul)
    attention = operations.attention / (peak * share.attention * (MASKED_ATTENTION if masked else 1.0))
    dequantising = moved.dequantised / ((hardware.bandwidth_gbs or 0.0) * 1e9 * DEQUANTISING)
    return max(products, moved.weights / bandwidth) + attention + moved.elementwise / bandwidth + dequantising


def _bandwidth(hardware: Hardware) -> float:
    return (hardware.bandwidth_gbs or 0.0) * 1e9 * utilisation(hardware).memory


def _host(setup: Setup, *, backward: bool) -> float:
    """Seconds in which the host starts the kernels of a pass."""
    layers, recomputed = setup.architecture.layers, int(setup.gradient_checkpointing and backward)
    adapters = sum(each.linear.layers * each.linear.active for each in trained.adapted(setup))
    ahead = layers * LAYER_FORWARD + adapters * ADAPTER_FORWARD
    back = layers * LAYER_BACKWARD + adapters * ADAPTER_BACKWARD
    seconds = ahead * (1 + recomputed) + back * int(backward)
    return seconds * (LAUNCHES_COMPILED if setup.engine.compiled else 1.0)


def _update_bytes(setup: Setup) -> float:
    """Bytes that the optimizer moves in one step, on one accelerator."""
    share = setup.accelerators if setup.sharding == "fsdp" else 1
    if setup.optimizer in ("adamw8bit", "pagedAdamw8bit"):
        each = _UPDATE_8BIT
    elif setup.method == "full" and not setup.engine.master_weights and setup.precision == "bf16":
        each = _UPDATE[setup.engine.optimizer_precision]
    else:
        each = _UPDATE_FP32_WEIGHTS
    return trained.parameters(setup) * each / share
