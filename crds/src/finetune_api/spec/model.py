"""spec.model: what is fine-tuned."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from finetune_api.schema import Rule, Schema, SecretKey, SecretName, ShortText, SourceURI, only_for


class Architecture(Schema):
    """The shape of a model whose config.json cannot be read before it runs."""

    parameters: Annotated[int, Field(ge=1)]
    """Number of parameters, in all."""
    active_parameters: Annotated[int, Field(ge=1)] | None = None
    """Parameters used for one token, for a mixture of experts."""
    hidden_size: Annotated[int, Field(ge=1)]
    """Width of the residual stream."""
    layers: Annotated[int, Field(ge=1)]
    """Number of transformer layers."""
    intermediate_size: Annotated[int, Field(ge=1)]
    """Width of the feed-forward layer."""
    attention_heads: Annotated[int, Field(ge=1)]
    """Number of query heads."""
    key_value_heads: Annotated[int, Field(ge=1)] | None = None
    """Number of key and value heads (grouped-query attention); left out: as many as query heads."""
    head_dim: Annotated[int, Field(ge=1)] | None = None
    """Width of one head; left out: hiddenSize / attentionHeads."""
    vocabulary_size: Annotated[int, Field(ge=1)]
    """Number of tokens in the vocabulary."""
    tied_embeddings: bool = False
    """True where the output head shares the embedding's weights."""


class ModelSpec(Schema):
    """The base model, and how to reach it."""

    rules: ClassVar[tuple[Rule, ...]] = (only_for("hf", "revision"), only_for("hf", "token_secret_ref"))

    source: SourceURI
    """Where the model is: hf://ORGANISATION/NAME, pvc://CLAIM/PATH, or (in `finetune run` only) file://PATH."""
    revision: ShortText | None = None
    """Branch, tag or commit of a hf:// model; left out: main. Its commit is pinned at the start."""
    token_secret_ref: SecretKey | None = None
    """Secret key holding a Hugging Face token, for gated and private models."""
    secret_ref: SecretName | None = None
    """Secret with the credentials of an s3:// or oci:// source."""
    trust_remote_code: bool | None = None
    """Run Python code that comes with the model. Off unless set: that code runs with all that the pod may do."""
    architecture: Architecture | None = None
    """The model's shape, where its config.json cannot be read."""
