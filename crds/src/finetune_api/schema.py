"""What every model of the API has in common: camelCase on the wire, immutable in the program, nothing unknown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError


def wire_name(field: str) -> str:
    """camelCase, with acronyms as people write them: max_cost_usd -> maxCostUSD, total_gib -> totalGiB."""
    return to_camel(field).replace("Usd", "USD").replace("Gib", "GiB")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a schema cannot say of an object: in CEL for the API server, in Python for who reads a file without one.

    Both forms mean the same; the cases in tests/finetune_api/rule_cases.py are put to both.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool]
    field: str = ""
    """Wire name of the field that the message is about, where it is one."""


class Schema(BaseModel):
    """A part of the resource or of the contract. A field's docstring is what `kubectl explain` shows."""

    model_config = ConfigDict(
        alias_generator=wire_name,
        extra="forbid",
        defer_build=True,
        frozen=True,
        # JSON has neither, though Python writes and reads them; the API server takes nothing that holds one
        allow_inf_nan=False,
        populate_by_name=True,
        use_attribute_docstrings=True,
        # the resource has fields called model*, which pydantic would otherwise claim for itself
        protected_namespaces=(),
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    def to_json(self) -> dict[str, Any]:
        """The wire form: camelCase, and nothing that was not set or is null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @model_validator(mode="after")
    def _follows_rules(self) -> Self:
        for rule in self.rules:
            if not rule.holds(self):
                # the text is a template: a brace in a message must not be taken for a place
                raise PydanticCustomError("rule", "{message}", {"message": rule.message, "field": rule.field})
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        if cls.rules:
            handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = [
                {"rule": r.cel, "message": r.message} | ({"fieldPath": f".{r.field}"} if r.field else {})
                for r in cls.rules
            ]
        return schema


def exactly_one_of(*fields: str) -> Rule:
    """The rule of a union written as sibling optional fields (the shape of the Kubernetes API conventions)."""
    names = [wire_name(field) for field in fields]
    return Rule(
        cel=" + ".join(f"(has(self.{name}) ? 1 : 0)" for name in names) + " == 1",
        message=f"exactly one of {', '.join(names)} must be set",
        holds=lambda it: sum(getattr(it, field) is not None for field in fields) == 1,
    )


def only_for(scheme: str, field: str) -> Rule:
    """The rule that an optional field is for one kind of `source`: it would be ignored in silence for others."""
    name = wire_name(field)
    return Rule(
        cel=f"!has(self.{name}) || self.source.startsWith('{scheme}://')",
        message=f"{name} is for {scheme}:// sources; remove it or name such a source",
        holds=lambda it: getattr(it, field) is None or it.source.startswith(f"{scheme}://"),
        field=name,
    )


# The API server's regular expressions (RE2) and pydantic's differ in \s beyond ASCII, so what is meant is spelt out.
NO_SPACE = r"[^\t\n\f\r ]"
# Bounds keep the API server's CEL cost estimate within its budget.
Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
ShortText = Annotated[str, Field(min_length=1, max_length=256)]
SourceURI = Annotated[str, Field(min_length=6, max_length=1024, pattern=rf"^(hf|pvc|s3|oci|file)://{NO_SPACE}+$")]
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
MAX_QUANTITY_LENGTH = 32


def _quantity(value: object) -> str | int:
    match value:
        case int() if value >= 0 and not isinstance(value, bool):
            return value
        case str() if len(value) <= MAX_QUANTITY_LENGTH and re.fullmatch(QUANTITY_PATTERN, value):
            return value
        case float():
            raise PydanticCustomError(
                "quantity", "must be a string or an integer: write {value} in quotes, or 500m", {"value": value}
            )
        case _:
            raise PydanticCustomError("quantity", "must be a quantity such as 8, 500m, 64Gi or 1.5Ti")


Quantity = Annotated[
    str | int,
    PlainValidator(_quantity),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": QUANTITY_PATTERN,
            "maxLength": MAX_QUANTITY_LENGTH,
            "minimum": 0,
        }
    ),
]
ImageRef = Annotated[str, Field(min_length=1, max_length=512, pattern=rf"^{NO_SPACE}+$")]
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
Sharding = Literal["none", "ddp", "fsdp"]
LossKernel = Literal["eager", "chunked", "liger"]
