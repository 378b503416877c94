"""spec.dataset: what it learns from."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from finetune_api.schema import (
    DatasetFormat,
    Fraction,
    Rule,
    Schema,
    SecretKey,
    SecretName,
    ShortText,
    SourceURI,
    TrainOn,
    exactly_one_of,
    only_for,
)


class DataSource(Schema):
    """A file, a folder of files, or a data set of the Hugging Face Hub."""

    rules: ClassVar[tuple[Rule, ...]] = (only_for("hf", "revision"), only_for("hf", "token_secret_ref"))

    source: SourceURI
    """hf://ORGANISATION/NAME, pvc://CLAIM/PATH, or (in `finetune run` only) file://PATH. JSONL, JSON, CSV, Parquet."""
    split: ShortText | None = None
    """Split of a Hub data set; left out: train."""
    subset: ShortText | None = None
    """Configuration ("subset") of a Hub data set."""
    revision: ShortText | None = None
    """Branch, tag or commit of a Hub data set; left out: main, pinned at the start."""
    token_secret_ref: SecretKey | None = None
    """Secret key holding a Hugging Face token, for gated and private data sets; left out: the model's."""
    secret_ref: SecretName | None = None
    """Secret with the credentials of an s3:// source."""


class ValidationData(Schema):
    """Rows held out to measure the loss while training."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one_of("fraction", "source"),)

    fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the training rows to hold out, chosen by the seed."""
    source: SourceURI | None = None
    """Or a data set of its own, in the training data's format."""
    split: ShortText | None = None
    """Split of a Hub data set; left out: validation."""


class MixedData(Schema):
    """General data mixed in against forgetting."""

    source: SourceURI
    """Where the rows are."""
    ratio: Annotated[float, Field(gt=0, lt=1)]
    """Share of the mixed rows in the whole."""


class DataQuality(Schema):
    """What is done about rows that would harm."""

    deduplicate: Literal["exact", "near", "off"] | None = None
    """Remove equal (exact) or almost equal (near) rows."""
    min_response_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Drop rows whose response is shorter, in tokens."""
    overlong: Literal["truncate", "drop"] | None = None
    """Rows over maxSequenceLength: truncate (the default) or drop. A row left with no response is dropped."""
    empty_responses: Literal["fail", "drop"] | None = None
    """Rows with an empty response: fail (the default) or drop."""


class DatasetSpec(Schema):
    """Training and validation data, and how rows become tokens."""

    train: DataSource
    """The training rows."""
    validation: ValidationData | None = None
    """Held-out rows; left out: none, and no validation loss."""
    format: DatasetFormat | None = None
    """Shape of the rows; left out: detected from the first row, and every row must have it."""
    columns: Annotated[dict[str, ShortText], Field(max_length=16)] | None = None
    """Renames, standard column name to the data's own: {"instruction": "question", "output": "answer"}."""
    train_on: TrainOn | None = None
    """Tokens that the loss counts: responses (the default), lastResponse, or all."""
    mix: Annotated[list[MixedData], Field(max_length=8)] | None = None
    """General data mixed in, against catastrophic forgetting."""
    quality: DataQuality | None = None
    """What is done about rows that would harm."""


class TestData(Schema):
    """Held-out rows to evaluate on, never trained on."""

    __test__ = False  # not a pytest class

    source: SourceURI | None = None
    """Where the rows are; left out: taken from the training data by `fraction`."""
    split: ShortText | None = None
    """Split of a Hub data set."""
    fraction: Fraction | None = None
    """Share of the training rows to hold out for the test."""
    max_rows: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """At most so many rows."""
