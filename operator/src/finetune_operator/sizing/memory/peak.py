"""The peak of one accelerator's memory: the largest of the moments that a run passes through."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from finetune_operator.sizing.memory import (
    activations,
    delta,
    generation,
    head,
    optimizer,
    overhead,
    precision,
    scores,
    sharding,
    trained,
    weights,
    workspace,
)
from finetune_operator.sizing.memory.batch import tokens
from finetune_operator.sizing.setup import Setup

TERMS = (
    "weights",
    "adapters",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "buffers",
    "reference",
    "generation",
    "context",
    "fragmentation",
)
"""Names of the terms, in the order in which they are shown."""
USABLE = 0.92
"""Share of an accelerator's memory that a plan may fill."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The memory of one accelerator at its peak, in bytes."""

    moment: str
    """When that is: loading, head, layers, embedding, step or generation."""
    terms: Mapping[str, int]
    """What is there then, by the names of TERMS."""

    @property
    def total(self) -> int:
        """What is expected."""
        return sum(self.terms.values())

    @property
    def required(self) -> int:
        """What an accelerator must have: the safety margin is 8% of it."""
        return math.ceil(self.total / USABLE)


@dataclass(frozen=True, slots=True)
class _Moment:
    name: str
    gradients: int = 0
    activations: int = 0
    logits: int = 0
    buffers: int = 0
    generation: int = 0

    @property
    def total(self) -> int:
        return self.gradients + self.activations + self.logits + self.buffers + self.generation


def predict(setup: Setup) -> Prediction:
    """The peak memory of one accelerator."""
    peak = max(_moments(setup), key=lambda moment: moment.total)
    adapters = trained.bytes_of(setup, trained.adapter_parameters(setup) + trained.saved_parameters(setup))
    terms = {
        "weights": sharding.base(setup),
        "adapters": sharding.share(setup, adapters),
        "gradients": peak.gradients,
        "optimizer": sharding.share(setup, optimizer.states(setup)),
        "activations": peak.activations,
        "logits": peak.logits,
        "buffers": peak.buffers,
        "reference": reference(setup),
        "generation": peak.generation,
    }
    terms["fragmentation"] = overhead.fragmentation(setup, sum(terms.values()))
    terms["context"] = overhead.context(setup)
    return Prediction(peak.name, MappingProxyType({name: terms[name] for name in TERMS}))


def reference(setup: Setup) -> int:
    """Bytes of the frozen model that DPO compares with. An adapter's reference is its base, without the adapter."""
    if setup.objective != "dpo" or setup.method != "full":
        return 0
    return sharding.share(setup, setup.architecture.parameters * precision.compute(setup))


@dataclass(frozen=True, slots=True)
class _Kept:
    """Bytes that the forward pass leaves for the backward pass."""

    at_head: int
    """Of all layers, before the first gradient."""
    at_top: int
    """When the last layer's gradient is computed."""
    at_bottom: int
    """When the first layer's is."""
    whole_at_top: int
    whole_at_bottom: int
    """Of weights made for the pass, at the same moments: experts with their adapters added, what AutoGPTQ restored."""


@dataclass(frozen=True, slots=True)
class _Gradients:
    """Bytes of the gradients that are there."""

    at_head: int
    at_top: int
    at_bottom: int
    at_end: int


def _kept(setup: Setup) -> _Kept:
    layers, count = setup.architecture.layers, tokens(setup)
    mask = scores.mask(setup)
    one = count * activations.one_layer(setup) + scores.layer(setup)
    checkpoint = count * activations.checkpoint(setup)
    whole = workspace.merged_experts(setup) + workspace.restored(setup)
    # the first layer's input is there whether it is a checkpoint or not
    bottom = mask + checkpoint + one
    if not setup.gradient_checkpointing:
        everything = mask + count * activations.all_layers(setup)
        everything += (layers - delta.layers(setup.architecture)) * scores.layer(setup)
        return _Kept(everything, everything, bottom, whole * layers, whole)
    # what is offloaded is fetched back one layer ahead
    checkpoints = checkpoint * (min(2, layers) if setup.engine.activation_offload else layers)
    return _Kept(mask + checkpoints, mask + checkpoints + one, bottom, whole, whole)


def _gradients(setup: Setup) -> _Gradients:
    """They grow from the head down, unless earlier forward passes of the step have left theirs."""
    if setup.engine.optimizer_in_backward:
        largest = trained.bytes_of(setup, trained.largest_parameter(setup))
        return _Gradients(largest, largest, largest, largest)
    everything = sharding.share(setup, trained.bytes_of(setup, trained.parameters(setup)))
    if setup.accumulation > 1:
        return _Gradients(everything, everything, everything, everything)
    head = setup.architecture.embedding_parameters if trained.trains_head(setup) else 0
    outer = sharding.share(setup, trained.bytes_of(setup, head))
    return _Gradients(0, outer, everything - (everything - outer) // setup.architecture.layers, everything)


def _moments(setup: Setup) -> Iterator[_Moment]:
    """All that can be the peak: loading, then in the order of a step."""
    if setup.method == "qlora" and setup.sharding == "fsdp" and setup.engine.quantized_loading == "whole":
        yield _Moment("loading", buffers=weights.weights(setup) - sharding.base(setup))
    kept, gradients = _kept(setup), _gradients(setup)
    gathered, reduced = sharding.gathered(setup), sharding.reduced(setup)
    buckets = sharding.buckets(setup)
    yield _Moment(
        "head",
        gradients=gradients.at_head,
        activations=kept.at_head + head.final_norm(setup),
        logits=head.logits(setup),
        buffers=gathered
        + buckets
        + _copies(setup)
        + _copies_of_head(setup)
        + (0 if setup.gradient_checkpointing else kept.whole_at_top),
    )
    experts = workspace.gradient_of_merged(setup)
    for grown, buffers in _work(setup):
        with_all = buffers + gathered + reduced + buckets + experts
        yield _Moment("layers", gradients.at_top, kept.at_top + grown, 0, with_all + kept.whole_at_top)
        yield _Moment("layers", gradients.at_bottom, kept.at_bottom + grown, 0, with_all + kept.whole_at_bottom)
    at_end = gathered + reduced + buckets + _second_gradient(setup)
    yield _Moment("embedding", gradients=gradients.at_end, buffers=at_end)
    if not setup.engine.optimizer_in_backward:
        yield _Moment("step", gradients=gradients.at_end, buffers=optimizer.temporaries(setup))
    if setup.generation is not None:
        yield _Moment(
            "generation",
            activations=generation.prefill(setup),
            logits=generation.logits(setup),
            buffers=gathered,
            generation=generation.cache(setup),
        )


def _second_gradient(setup: Setup) -> int:
    """Bytes of the embedding's gradient, while the head's is there that it is added to."""
    if setup.method != "full" or not setup.architecture.tied_embeddings:
        return 0
    return trained.bytes_of(setup, setup.architecture.embedding_parameters)


def _copies(setup: Setup) -> int:
    """Bytes of the half-precision copies of trained fp32 weights that autocast keeps for a forward pass."""
    compute = precision.compute(setup)
    if precision.trained(setup) <= compute:
        return 0
    if setup.method == "full":
        return setup.architecture.linear_parameters * compute
    return trained.adapter_parameters(setup) * compute


def _copies_of_head(setup: Setup) -> int:
    """Bytes of such a copy of the head and of its gradient. TRL casts the head tile by tile."""
    compute = precision.compute(setup)
    whole = setup.engine.loss_kernel != "chunked" and trained.trains_head(setup)
    return 2 * compute * setup.architecture.embedding_parameters if whole and precision.trained(setup) > compute else 0


def _work(setup: Setup) -> Iterator[tuple[int, int]]:
    """Bytes of activations and of buffers in the heaviest moments of one layer's backward pass."""
    copies = _copies(setup)
    if setup.gradient_checkpointing:
        copies //= setup.architecture.layers
    yield workspace.gradients_of_activations(setup), copies
    # attention's turn comes when the feed-forward layer has given back what it kept
    mixer = max(scores.workspace(setup), tokens(setup) * delta.workspace(setup))
    yield max(0, mixer - tokens(setup) * activations.given_back(setup)), copies
    yield tokens(setup) * workspace.stream(setup), copies + workspace.casts_of_adapters(setup)
    yield 2 * tokens(setup) * workspace.stream(setup), copies + workspace.dequantised(setup)
