"""What every model of the API has in common: camelCase on the wire, immutable in the program, nothing unknown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema
from pydantic.alias_generators import to_camel


def wire_name(field: str) -> str:
    """camelCase, with acronyms as people write them: max_cost_usd -> maxCostUSD, total_gib -> totalGiB."""
    return to_camel(field).replace("Usd", "USD").replace("Gib", "GiB")


class Schema(BaseModel):
    """A part of the resource or of the contract. A field's docstring is what `kubectl explain` shows."""

    model_config = ConfigDict(
        alias_generator=wire_name,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
        # the resource has fields called model*, which pydantic would otherwise claim for itself
        protected_namespaces=(),
    )

    def to_json(self) -> dict[str, Any]:
        """The wire form: camelCase, and nothing that was not set or is null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def cel(rule: str, message: str) -> dict[str, JsonValue]:
    """A CEL rule for `json_schema_extra`, carried into the CRD as it stands."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message}]}


def exactly_one_of(*fields: str) -> dict[str, JsonValue]:
    """The CEL rule of a union written as sibling optional fields (the shape of the Kubernetes API conventions)."""
    count = " + ".join(f"(has(self.{field}) ? 1 : 0)" for field in fields)
    return cel(f"{count} == 1", f"exactly one of {', '.join(fields)} must be set")


# Bounds keep the API server's CEL cost estimate within its budget.
Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
ShortText = Annotated[str, Field(min_length=1, max_length=256)]
SourceURI = Annotated[str, Field(min_length=6, max_length=1024, pattern=r"^(hf|pvc|s3|oci|file)://[^\s]+$")]
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
Quantity = Annotated[
    str | int,
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN, "maxLength": 32}),
]
ImageRef = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]


class SecretKey(Schema):
    """One key of a Secret in the job's namespace."""

    name: Name
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Key within the Secret."""


class SecretName(Schema):
    """A Secret in the job's namespace, by name."""

    name: Name
    """Name of the Secret."""


Method = Literal["full", "lora", "qlora", "ia3"]
Objective = Literal["sft", "dpo"]
Backend = Literal["trl", "unsloth", "axolotl"]
DatasetFormat = Literal["alpaca", "sharegpt", "messages", "promptCompletion", "text", "preference"]
TrainOn = Literal["responses", "lastResponse", "all"]
Scheduler = Literal[
    "cosine", "linear", "constant", "constantWithWarmup", "cosineWithRestarts", "polynomial", "inverseSqrt"
]
Optimizer = Literal["adamw", "adamw8bit", "pagedAdamw", "pagedAdamw8bit"]
Attention = Literal["eager", "sdpa", "flashAttention2", "flashAttention3", "flex"]
Precision = Literal["bf16", "fp16", "fp32"]
