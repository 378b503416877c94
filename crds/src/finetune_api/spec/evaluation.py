"""spec.evaluation: what the result is measured against."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.schema import NO_SPACE, Fraction, Schema, SecretKey, ShortText
from finetune_api.spec.dataset import TestData

Metric = Literal["accuracy", "exactMatch", "f1", "formatCompliance", "perplexity", "labelLikelihood"]


class Baseline(Schema):
    """The prompted base model, on the same test set."""

    few_shot: Annotated[int, Field(ge=0, le=64)] | None = None
    """Examples in the base model's prompt, beside the zero-shot run."""


class Judge(Schema):
    """A model that scores answers, behind an OpenAI-compatible endpoint."""

    endpoint: Annotated[str, Field(max_length=1024, pattern=rf"^https?://{NO_SPACE}+$")]
    """Base URL of the endpoint."""
    model: ShortText
    """Name of the judging model."""
    token_secret_ref: SecretKey | None = None
    """Secret key holding the endpoint's token."""
    mode: Literal["rubric", "pairwise"] | None = None
    """A score from 1 to 5 (rubric), or which of two answers is better (pairwise)."""


class Benchmark(Schema):
    """A general benchmark, run before and after."""

    task: ShortText
    """Name of the lm-evaluation-harness task."""
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """At most so many examples."""


class Gate(Schema):
    """What the result must reach to be called a success."""

    beat_baseline: bool | None = None
    """The tuned model must beat the prompted base model."""
    max_regression: Fraction | None = None
    """Share of the regression set that may get worse."""


class EvaluationSpec(Schema):
    """How the result is measured."""

    baseline: Baseline | None = None
    """The prompted base model, side by side."""
    metrics: Annotated[list[Metric], Field(max_length=16)] | None = None
    """Task metrics."""
    test_set: TestData | None = None
    """Held-out rows for the task metrics."""
    regression_set: TestData | None = None
    """Cases that the base model gets right and the tuned model must still get right."""
    judge: Judge | None = None
    """A model as judge."""
    benchmarks: Annotated[list[Benchmark], Field(max_length=16)] | None = None
    """General benchmarks, before and after."""
    gate: Gate | None = None
    """What must be reached."""
