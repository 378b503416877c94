"""Seconds in which accelerators exchange weights and gradients."""

from __future__ import annotations

from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.memory import trained
from finetune_operator.sizing.setup import Setup
from finetune_operator.sizing.speed import traffic

REACHED = {"nvlink": 0.75, "xgmi": 0.7, "pcie": 0.4, "none": 1.0}
"""Share of a link's bandwidth that NCCL's collectives reach; over PCIe without peer access they go through the host."""
BETWEEN_NODES_GBS = 12.5
"""GB/s of a node's network: 100 Gbit/s Ethernet, where nothing else is known."""
UNHIDDEN = 0.1
"""Share of an exchange that no computation hides: the first layer's gather, the last one's reduction."""
SHARDED_LAYER = 5e-3
"""Seconds that a pass takes longer for each layer that is sharded, whatever its bytes: hooks, copies in and out of the
buffers, and units of the accelerator that NCCL has meanwhile. Full fine-tuning on two A100 instead of one takes 2.5 to
10 ms more with transformers' FSDP (fms-acceleration's benchmarks), and next to nothing in llm-foundry: in between."""


def per_pass(setup: Setup, hardware: Hardware, *, nodes: int) -> float:
    """Of every forward and backward pass: under fsdp, weights are gathered for both and gradients are scattered.

    Each is (n - 1) / n of the bytes (ZeRO stage 3, Rajbhandari et al. 2020, arXiv:1910.02054, section 7). Gradients
    are added up in fp32, after each pass, as the trainer has it.
    """
    if setup.sharding != "fsdp" or setup.accelerators == 1:
        return 0.0
    scattered = 4.0 * trained.parameters(setup) * _others(setup)
    return 2 * gather(setup, hardware, nodes=nodes) + scattered / _bandwidth(setup, hardware, nodes=nodes)


def gather(setup: Setup, hardware: Hardware, *, nodes: int) -> float:
    """Of every forward pass under fsdp: all weights, layer by layer."""
    if setup.sharding != "fsdp" or setup.accelerators == 1:
        return 0.0
    quantised = traffic.quantised_weights(setup)
    weights = 2.0 * (setup.architecture.parameters - quantised) + traffic.NF4_READ * quantised
    return weights * _others(setup) / _bandwidth(setup, hardware, nodes=nodes)


def sharding(setup: Setup) -> float:
    """Of every forward and backward pass under fsdp, beside the exchange: nothing hides it."""
    sharded = setup.sharding == "fsdp" and setup.accelerators > 1
    return SHARDED_LAYER * setup.architecture.layers if sharded else 0.0


def per_step(setup: Setup, hardware: Hardware, *, nodes: int) -> float:
    """Of every optimizer step: under ddp, gradients are summed: 2 (n - 1) / n of the bytes, as a ring does it."""
    if setup.sharding != "ddp" or setup.accelerators == 1:
        return 0.0
    wide = setup.method != "full" and setup.engine.adapter_precision == "fp32"
    moved = 2 * trained.parameters(setup) * (4 if wide else 2) * _others(setup)
    return moved / _bandwidth(setup, hardware, nodes=nodes)


def exposed(seconds: float, *, hidden_by: float) -> float:
    """What is left of an exchange beside a computation that goes on meanwhile."""
    return seconds * UNHIDDEN + max(0.0, seconds * (1 - UNHIDDEN) - hidden_by)


def _others(setup: Setup) -> float:
    return (setup.accelerators - 1) / setup.accelerators


def _bandwidth(setup: Setup, hardware: Hardware, *, nodes: int) -> float:
    """Bytes per second of each accelerator."""
    link = hardware.interconnect
    within = link.gbs * 1e9 * REACHED[link.kind] if link.gbs else BETWEEN_NODES_GBS * 1e9
    if nodes == 1:
        return within
    per_node = max(1, setup.accelerators // nodes)
    return min(within, BETWEEN_NODES_GBS * 1e9 / per_node)
