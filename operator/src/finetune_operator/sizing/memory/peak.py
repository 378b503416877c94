"""The peak of one accelerator's memory: the largest of the moments that a run passes through."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from finetune_operator.sizing.memory import (
    activations,
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
    """When that is: head, layers, embedding, step, evaluation or generation."""
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
        "weights": sharding.share(setup, weights.weights(setup)),
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


def _moments(setup: Setup) -> Iterator[_Moment]:
    architecture = setup.architecture
    count = tokens(setup)
    everything = sharding.share(setup, trained.bytes_of(setup, trained.parameters(setup)))
    outer = sharding.share(setup, trained.bytes_of(setup, _outer(setup)))
    if setup.engine.optimizer_in_backward:
        one = trained.bytes_of(setup, trained.largest_parameter(setup))
        before = first = last = one
    elif setup.accumulation > 1:
        before = first = last = everything
    else:
        before, first, last = 0, outer, everything - (everything - outer) // architecture.layers
    reduced, gathered = sharding.reduced(setup), sharding.gathered(setup)
    shared = scores.mask(setup)
    one_layer = count * activations.one_layer(setup) + scores.layer(setup)
    checkpoint = count * activations.checkpoint(setup)
    merged = workspace.merged_experts(setup)
    if setup.gradient_checkpointing:
        held = checkpoint * (min(2, architecture.layers) if setup.engine.activation_offload else architecture.layers)
        kept_merged = merged
        at_layer = held + one_layer
        at_bottom = checkpoint + one_layer
    else:
        held = count * activations.all_layers(setup) + architecture.layers * scores.layer(setup)
        kept_merged = merged * architecture.layers
        at_layer, at_bottom = held, one_layer
    held += shared
    yield _Moment(
        "head",
        gradients=before,
        activations=held + head.final_norm(setup),
        logits=head.logits(setup),
        buffers=gathered + (0 if setup.gradient_checkpointing else kept_merged) + _copies(setup),
    )
    for kept, gradients, merged_now in (
        (at_layer, first, kept_merged),
        (at_bottom, last, merged),
    ):
        for grown, buffers in _work(setup):
            yield _Moment(
                "layers",
                gradients=gradients,
                activations=kept + shared + grown,
                buffers=buffers + gathered + reduced + merged_now + workspace.gradient_of_merged(setup),
            )
    embedding = architecture.embedding_parameters * precision.trained(setup)
    twice = embedding if setup.method == "full" and architecture.tied_embeddings else 0
    yield _Moment(
        "embedding",
        gradients=last if setup.engine.optimizer_in_backward else everything,
        buffers=gathered + reduced + twice,
    )
    if not setup.engine.optimizer_in_backward:
        temporaries = optimizer.temporaries(setup)
        yield _Moment("step", gradients=everything, buffers=temporaries)
    if setup.generation is not None:
        yield _Moment(
            "generation", generation=generation.cache(setup), logits=generation.logits(setup), buffers=gathered
        )


def _outer(setup: Setup) -> int:
    """Elements whose gradients are there before the layers': the head's."""
    return setup.architecture.embedding_parameters if trained.trains_head(setup) else 0


def _copies(setup: Setup) -> int:
    """Bytes of the half-precision copies of trained fp32 weights that autocast keeps for a forward pass."""
    compute = precision.compute(setup)
    if precision.trained(setup) <= compute:
        return 0
    if setup.method == "full":
        return setup.architecture.linear_parameters * compute
    return trained.adapter_parameters(setup) * compute


def _work(setup: Setup) -> Iterator[tuple[int, int]]:
    """Bytes of activations and of buffers in the heaviest moments of one layer's backward pass."""
    copies = _copies(setup)
    if setup.gradient_checkpointing:
        copies //= setup.architecture.layers
    yield workspace.gradients_of_activations(setup), copies
    yield scores.workspace(setup), copies
    yield tokens(setup) * workspace.stream(setup), copies + workspace.casts_of_adapters(setup)
    yield 2 * tokens(setup) * workspace.stream(setup), copies + workspace.dequantised(setup)
