"""Seconds of a whole run, from loading to export, by what takes them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from finetune_operator.sizing import defaults
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import Hardware
from finetune_operator.sizing.host import DIGEST, checkpoint_bytes, model_bytes
from finetune_operator.sizing.memory import trained
from finetune_operator.sizing.setup import Setup
from finetune_operator.sizing.speed import flops
from finetune_operator.sizing.speed.batches import FULL, Batches, batches, mean_tokens
from finetune_operator.sizing.speed.step import StepTime, forward, step

START = 45.0
"""Seconds in which the libraries are imported, the device is set up and processes meet. Images are not pulled in it."""
VOLUME_GBS = 0.5
"""GB/s (10^9 bytes) that a volume is read and written with: what network volumes of 100 GB and more give. A model from
the Hub comes through the network at about as much."""
TOKENISING = 500_000
"""Tokens a second, read, tokenised and packed: less than what bench/tokenize.py measures on two cores."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A run, as it is expected."""

    parts: dict[str, float]
    """Seconds by what takes them: start, load, prepare, training, evaluation, checkpoints, export."""
    steps: int
    """Optimizer steps."""
    tokens: int
    """Trained on, over all epochs, without padding."""
    utilisation: float
    """Share of the accelerators' peak while training: operations that are needed, not recomputed ones."""
    checkpoint_seconds: float
    """Of writing one checkpoint, in which nothing is trained."""
    step: StepTime
    batches: Batches = field(repr=False)

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return sum(self.parts.values())

    @property
    def tokens_per_second(self) -> float:
        """While training, over all accelerators, without padding."""
        return self.tokens / self.parts["training"]


def estimate(
    setup: Setup,
    hardware: Hardware,
    *,
    nodes: int,
    data: DataFacts,
    epochs: float,
    max_steps: int | None,
    effective_batch_size: int,
    checkpoint_seconds: int = defaults.CHECKPOINT_INTERVAL_SECONDS,
) -> Estimate | None:
    """Of a run over `data`; None where its tokens or the accelerator's speed aren't known.

    `setup.accumulation` isn't looked at: it follows from the effective batch, or from packing. Rows are evaluated
    before the first epoch and after each, as finetune_trainer.pacemaker does.
    """
    if not data.rows or not data.tokens:
        return None
    # tokens that were estimated aren't cut yet
    tokens = min(data.tokens, data.rows * setup.sequence_length)
    data = replace(data, tokens=tokens)
    cut = batches(setup, data=data, effective_batch_size=effective_batch_size)
    computed = replace(setup, sequence_length=cut.sequence_tokens)
    example = min(mean_tokens(data), cut.sequence_tokens)
    one = step(computed, hardware, nodes=nodes, accumulation=cut.passes_per_step, example_tokens=example)
    ahead = forward(computed, hardware, nodes=nodes, example_tokens=example)
    if one is None or ahead is None:
        return None
    steps = max(1, math.ceil(cut.steps_per_epoch * epochs))
    if max_steps is not None:
        steps = min(steps, max_steps)
    done = steps / cut.steps_per_epoch
    training = steps * one.seconds
    evaluations = math.ceil(done - 1e-9) + 1
    passes = _validation_tokens(data) / _tokens_per_pass(setup, cut, mean_tokens(data))
    trained = round(tokens * min(done, epochs))
    checkpoint = _kept(checkpoint_bytes(setup))
    parts = {
        "start": START,
        "load": model_bytes(setup.architecture) / _volume(),
        "prepare": (tokens + _validation_tokens(data)) / TOKENISING,
        "training": training,
        "evaluation": evaluations * math.ceil(passes) * ahead,
        "checkpoints": (1 + training // checkpoint_seconds) * checkpoint,
        "export": _kept(_output_bytes(setup)),
    }
    return Estimate(
        parts=parts,
        steps=steps,
        tokens=trained,
        utilisation=_utilisation(computed, hardware, trained, training, example),
        checkpoint_seconds=checkpoint,
        step=one,
        batches=cut,
    )


def _utilisation(setup: Setup, hardware: Hardware, tokens: int, seconds: float, example: float) -> float:
    plain = replace(setup, gradient_checkpointing=False, kernel="flash")
    needed = flops.training(plain, example_tokens=example).total / setup.tokens * tokens
    return needed / seconds / setup.accelerators / ((hardware.tflops or math.inf) * 1e12)


def _tokens_per_pass(setup: Setup, cut: Batches, mean: float) -> float:
    """Of validation rows, over all accelerators."""
    sequence = cut.sequence_tokens * FULL if setup.packed else mean
    return setup.micro_batch_size * setup.accelerators * max(1.0, sequence)


def _validation_tokens(data: DataFacts) -> float:
    if data.validation_tokens is not None:
        return float(data.validation_tokens)
    return (data.validation_rows or 0) * mean_tokens(data)


def _output_bytes(setup: Setup) -> float:
    return 2.0 * setup.architecture.parameters if setup.method == "full" else 4.0 * trained.parameters(setup)


def _kept(size: float) -> float:
    """Of checkpoints and results: written, and read again for their digests before anything goes on."""
    return size / _volume() + size / DIGEST


def _volume() -> float:
    return VOLUME_GBS * 1e9
