"""The memory model's arithmetic for one run, and what can be assumed of other engines: tables of docs/sizing.md."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from docs.guides import GIB, MODELS
from finetune_api.schema import wire_name
from finetune_operator.sizing.memory import USABLE, predict
from finetune_operator.sizing.models.config_json import from_config
from finetune_operator.sizing.setup import Engine, Setup

EXAMPLE = ("term", "what", "bytes", "GiB")
ASSUME = ("name", "values", "default", "what it is")
RUN = Setup(
    from_config(dict(MODELS["Llama 3.1 8B"])),
    "qlora",
    micro_batch_size=1,
    sequence_length=2048,
    gradient_checkpointing=True,
    accumulation=16,
)
"""QLoRA of Llama 3.1 8B by the defaults, with checkpointing: packs of 2,048 tokens, rank 16, sdpa."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a term, worked out here from the model's shape alone."""

    term: str
    what: str
    factors: tuple[float, ...]

    @property
    def size(self) -> float:
        """In bytes."""
        return math.prod(self.factors)

    @property
    def arithmetic(self) -> str:
        """Factor by factor."""
        return " x ".join(f"{each:,}" if isinstance(each, int) else f"{each:.6g}" for each in self.factors)


def _parts() -> Iterator[Part]:
    shape, tokens = RUN.architecture, RUN.sequence_length
    hidden, inner, layers = shape.hidden_size, shape.intermediate_size, shape.layers
    keys, queries = shape.key_value_width, shape.query_width
    read = 6 * hidden + inner  # by q, k, v, o, gate and up, and by down
    written = 2 * hidden + 2 * keys + 2 * inner + hidden
    adapters = RUN.rank * layers * (read + written)
    rest = shape.embedding_parameters + shape.head_parameters + shape.other_parameters
    yield Part("weights", "matrices in NF4", (shape.linear_parameters, 0.5 + 1 / 64 + 4 / 64 / 256))
    yield Part("", "embedding, head and norms", (rest, 2))
    yield Part("adapters", "rank 16 beside all matrices, fp32", (adapters, 4))
    yield Part("gradients", "of all adapters: there are 16 passes a step", (adapters, 4))
    yield Part("optimizer", "two moments", (adapters, 8))
    yield Part("activations", "inputs of all layers", (tokens, layers, hidden, 2))
    yield Part("", "last layer: two norms", (tokens, 2, 4 * hidden + 4))
    yield Part("", "last layer: attention", (tokens, 2 * 4 * queries + 4 * shape.attention_heads))
    yield Part("", "last layer: gate, up and activation", (tokens, 3 * inner, 2))
    yield Part("", "last layer: inputs of adapters, with dropout's mask", (tokens, read, 2 + 1))
    yield Part("", "last layer: between the factors of adapters", (tokens, 7 * RUN.rank, 2))
    yield Part("", "gradients of the residual stream", (tokens, 2 * hidden, 2))
    yield Part("", "mask, and as numbers to add", (tokens, tokens, 1 + 2))
    yield Part("buffers", "the largest matrix in bf16", (hidden, inner, 2))
    yield Part("", "its scales in fp32, one for 64 weights", (hidden, inner, 4 / 64))
    yield Part("", "one layer's adapters in bf16", (adapters // layers, 2))


def example() -> Iterator[tuple[str, ...]]:
    """Each term's parts. ArithmeticError where they are not what the model predicts."""
    prediction = predict(RUN)
    found: dict[str, float] = {}
    term = ""
    for part in _parts():
        term = part.term or term
        found[term] = found.get(term, 0) + part.size
        yield f"`{part.term}`" if part.term else "", part.what, part.arithmetic, _gib(part.size)
    found["context"] = 600 * 2**20
    found["fragmentation"] = 0.04 * (sum(found.values()) - found["context"])
    yield "`context`", "", "600 MiB", _gib(found["context"])
    yield "`fragmentation`", "", "4% of all above but `context`", _gib(found["fragmentation"])
    predicted = {name: size for name, size in prediction.terms.items() if size}
    if predicted.keys() != found.keys() or any(abs(found[name] - size) > 1 for name, size in predicted.items()):
        raise ArithmeticError(f"docs/memory.py works out {found}; predicted are {predicted}")
    yield "`totalGiB`", "", f"when it is fullest: {prediction.moment}", _gib(prediction.total)
    yield "`requiredGiB`", "", f"total / {USABLE}", _gib(prediction.required)


def _gib(size: float) -> str:
    return f"{size / GIB:.3f}"


def assume() -> Iterator[tuple[str, ...]]:
    """What `finetune plan --assume` takes."""
    for name, field in Engine.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        yield (
            f"`{wire_name(name)}`",
            _values(field.annotation),
            f"`{default}`",
            " ".join((field.description or "").split()),
        )


def _values(kind: Any) -> str:
    if kind is bool:
        return "`true`, `false`"
    return ", ".join(f"`{each}`" for each in get_args(getattr(kind, "__value__", kind))) or "a number"
