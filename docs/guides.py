"""The fine-tuning guides' hardware figures beside what the memory model says: tables of docs/sizing.md.

Ours is what the trainer needs with the margin (requiredGiB), for one sequence at a time, checkpointing, and adapters of
rank 16 on all linear layers. `least` is the frugal end: 512 tokens, and for full fine-tuning paged 8-bit AdamW;
`usual` is 2,048 tokens, and AdamW, the only optimizer that several GPUs can share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from finetune_api.schema import Method
from finetune_operator.sizing.hardware.table import builtin
from finetune_operator.sizing.memory import Prediction, predict
from finetune_operator.sizing.models.config_json import from_config
from finetune_operator.sizing.setup import Setup

GIB = 2**30


def _llama(hidden: int, layers: int, heads: int, groups: int, inner: int, vocabulary: int) -> Mapping[str, object]:
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
        "tie_word_embeddings": hidden < 4096,
    }


# config.json of the models that stand for a size.
MODELS: Mapping[str, Mapping[str, object]] = {
    "Llama 3.2 1B": _llama(2048, 16, 32, 8, 8192, 128256),
    "Llama 3.2 3B": _llama(3072, 28, 24, 8, 8192, 128256),
    "Llama 2 7B": _llama(4096, 32, 32, 32, 11008, 32000),
    "Llama 3.1 8B": _llama(4096, 32, 32, 8, 14336, 128256),
    "Llama 2 13B": _llama(5120, 40, 40, 40, 13824, 32000),
    "Llama 1 33B": _llama(6656, 60, 52, 52, 17920, 32000),
    "Llama 2 70B": _llama(8192, 80, 64, 8, 28672, 32000),
    "Llama 3.1 70B": _llama(8192, 80, 64, 8, 28672, 128256),
}


@dataclass(frozen=True, slots=True)
class Size:
    """What the guides say that models of one size need."""

    name: str
    models: tuple[str, ...]
    says: Mapping[Method, str]
    """With the guides' numbers."""


SIZES = (
    Size(
        "1-3B",
        ("Llama 3.2 1B", "Llama 3.2 3B"),
        {"full": "24 GB (5)", "lora": "8 GB (5)", "qlora": "4 GB (5)"},
    ),
    Size(
        "7-8B",
        ("Llama 2 7B", "Llama 3.1 8B"),
        {
            "full": "60 GB (3, 5), 56 GB (2), 4x 80 GB (1)",
            "lora": "16 GB (5), 16-24 GB (3), 20 GB (4)",
            "qlora": "5 GB (2), 8 GB (1, 5), 12-20 GB (3), 24 GB (4)",
        },
    ),
    Size("13B", ("Llama 2 13B",), {"full": "120 GB (5)", "lora": "32 GB (5)", "qlora": "8 GB (4), 14 GB (5)"}),
    Size(
        "70B",
        ("Llama 3.1 70B",),
        {"full": "several GPUs (5), 160 GB (1)", "lora": "160 GB (5)", "qlora": "40 GB (5), 24 GB (1)"},
    ),
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A guide says that a model can be trained on some accelerators."""

    guide: str
    accelerator: str
    model: str
    method: Method
    count: int = 1


CLAIMS = (
    Claim("1", "RTX-4090", "Llama 2 7B", "full"),
    Claim("1", "RTX-4090", "Llama 3.1 70B", "qlora"),
    Claim("1", "A100-40GB", "Llama 2 13B", "full"),
    Claim("1", "A100-40GB", "Llama 3.1 70B", "qlora"),
    Claim("1", "A100-80GB", "Llama 1 33B", "full"),
    Claim("1, 5", "A100-80GB", "Llama 3.1 70B", "qlora"),
    Claim("1", "A100-80GB", "Llama 3.1 70B", "full", count=2),
    Claim("1", "A100-80GB", "Llama 3.1 70B", "qlora", count=2),
    Claim("1", "A100-80GB", "Llama 2 7B", "full", count=4),
    Claim("2", "A100-80GB", "Llama 2 7B", "full", count=2),
    Claim("2", "A10G", "Llama 2 7B", "qlora"),
    Claim("2", "A100-80GB", "Llama 2 7B", "lora"),
    Claim("2", "A100-80GB", "Llama 2 13B", "full", count=4),
    Claim("2", "A100-80GB", "Llama 3.1 70B", "full", count=8),
    Claim("3", "T4", "Llama 2 7B", "qlora"),
    Claim("4", "A100-40GB", "Llama 3.1 8B", "lora"),
    Claim("5", "RTX-3060", "Llama 3.2 3B", "qlora"),
    Claim("5", "T4", "Llama 3.2 3B", "qlora"),
    Claim("5", "RTX-3060", "Llama 3.2 3B", "lora"),
    Claim("5", "RTX-3090", "Llama 3.1 8B", "lora"),
    Claim("5", "RTX-4090", "Llama 3.1 8B", "lora"),
    Claim("5", "RTX-3090", "Llama 2 13B", "qlora"),
    Claim("5", "RTX-3090", "Llama 2 13B", "lora"),
)


def setup(model: str, method: Method, *, count: int = 1, least: bool) -> Setup:
    """The run of the tables; `least`: as frugal as the resource allows. Several accelerators share one model."""
    return Setup(
        architecture=from_config(MODELS[model]),
        method=method,
        micro_batch_size=1,
        sequence_length=512 if least else 2048,
        gradient_checkpointing=True,
        optimizer="pagedAdamw8bit" if least and method == "full" and count == 1 else "adamw",
        packed=False,
        kernel="flash",
        accelerators=count,
        sharding="fsdp" if count > 1 else "none",
    )


NEEDS = ("size", "method", "the guides say (guide)", "model", "least, GiB", "usual, GiB")
CLAIMED = ("guide", "what it says can be trained", "GiB of one", "least, GiB: of what", "usual, GiB", "does it fit")


def needs() -> Iterator[tuple[str, ...]]:
    """What the guides say that a size needs, and what each model needs, of one accelerator."""
    for size in SIZES:
        for method, says in size.says.items():
            for model in size.models:
                least, usual = (predict(setup(model, method, least=each)) for each in (True, False))
                yield size.name, method, says, model, _gib(least.required), _gib(usual.required)


def claims() -> Iterator[tuple[str, ...]]:
    """What a guide says that runs, what an accelerator has, what one needs and of what, and whether it runs."""
    for claim in CLAIMS:
        memory = builtin().row(claim.accelerator).memory_gib or 0
        least, usual = (
            predict(setup(claim.model, claim.method, count=claim.count, least=each)) for each in (True, False)
        )
        yield (
            claim.guide,
            f"{claim.model} {claim.method} on {f'{claim.count}x ' if claim.count > 1 else ''}{claim.accelerator}",
            f"{memory:.1f}",
            f"{_gib(least.required)}: {largest(least)}",
            _gib(usual.required),
            verdict(memory, least, usual),
        )


def verdict(has: float, least: Prediction, usual: Prediction) -> str:
    """In one or a few words."""
    if usual.required <= has * GIB:
        return "yes"
    return "only the frugal way" if least.required <= has * GIB else "**no**"


def largest(prediction: Prediction) -> str:
    """The terms that make nine tenths of it, the largest first, in GiB."""
    said: list[str] = []
    left = prediction.total
    for name, size in sorted(prediction.terms.items(), key=lambda term: -term[1]):
        if left < prediction.total / 10:
            break
        said.append(f"{name} {_gib(size)}")
        left -= size
    return ", ".join(said)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"
