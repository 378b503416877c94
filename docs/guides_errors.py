"""Where the fine-tuning guides' hardware figures are wrong, with the arithmetic: a table of docs/sizing.md.

GB are 10^9 bytes here, as the guides have them.
"""

from __future__ import annotations

from collections.abc import Iterator

from docs.guides import MODELS, setup
from finetune_operator.sizing.hardware.table import builtin
from finetune_operator.sizing.memory import predict
from finetune_operator.sizing.models.config_json import from_config

HEAD = ("guide", "says", "but")
BF16_MOMENTS, FP32_MOMENTS = 8, 12
"""Bytes a parameter of full fine-tuning: weight 2, gradient 2, AdamW's two moments 2 or 4 each (arXiv:1412.6980)."""


def errors() -> Iterator[tuple[str, str, str]]:
    """Rows: guide, what it says, and why that is not so."""
    yield "1", "RTX 4090: 7B in full", f"{_two('Llama 2 7B')}; the card has {_card('RTX-4090')}"
    yield "1", "A100 40 GB: 13B in full", f"{_two('Llama 2 13B')}; the card has {_card('A100-40GB')}"
    yield "1", "A100 80 GB: 30B in full", f"{_two('Llama 1 33B')}; the card has {_card('A100-80GB')}"
    yield "1", "2x A100 80 GB: 70B in full", f"{_two('Llama 3.1 70B')}; the two have {_card('A100-80GB', 2)}"
    yield "1", "RTX 4090: 70B by QLoRA", f"{_nf4('Llama 3.1 70B')}; the card has {_card('RTX-4090')}"
    yield (
        "1",
        "A100 40 GB: 70B by QLoRA",
        f"{_nf4('Llama 3.1 70B')}, {_rest('Llama 3.1 70B')}; it has {_card('A100-40GB')}",
    )
    yield "1", "7B in full requires 4x 80 GB", f"{_states('Llama 2 7B')}: two share that"
    yield "2", "8x A100 80 GB: 70B in full", f"{_states('Llama 3.1 70B')}; the eight have {_card('A100-80GB', 8)}"
    yield (
        "2, 3, 5",
        "7B in full: 56-60 GB",
        f"that is {BF16_MOMENTS} bytes a parameter, with moments in bf16; {_states('Llama 2 7B')}",
    )
    yield (
        "5",
        "7B: 28 GB of gradients and optimizer states",
        f"{_gb(2 * _parameters('Llama 2 7B'))} and {_gb(8 * _parameters('Llama 2 7B'))}",
    )
    yield "5", "13B in full: 120 GB", _states("Llama 2 13B")
    yield "5", "3B in full: 24 GB", _states("Llama 3.2 3B")
    yield "5", "8B by LoRA: 16 GB", f"its weights alone are {_gb(2 * _parameters('Llama 3.1 8B'))}"
    yield "4", "13B by QLoRA: 8 GB", f"{_nf4('Llama 2 13B')}, {_rest('Llama 2 13B')}"
    yield "4", "8B by QLoRA: 24 GB", f"{_nf4('Llama 3.1 8B')}, {_rest('Llama 3.1 8B')}"


def _parameters(model: str) -> int:
    return from_config(MODELS[model]).parameters


def _two(model: str) -> str:
    size = 2 * _parameters(model)
    return f"{_gb(size)} of weights in bf16 and as many of gradients make {_gb(2 * size)} before any optimizer state"


def _states(model: str) -> str:
    count = _parameters(model)
    total = _gb(FP32_MOMENTS * count)
    return f"weights, gradients and AdamW's fp32 moments are {FP32_MOMENTS} x {count / 1e9:.1f}e9 = {total}"


def _nf4(model: str) -> str:
    """4 bits and twice quantised scales of the layers; the embedding and the head stay in bf16."""
    shape = from_config(MODELS[model])
    outer = 2 * (shape.embedding_parameters + shape.head_parameters)
    weights = predict(setup(model, "qlora", least=True)).terms["weights"]
    return f"weights in NF4 are {_gb(weights)}, of which embedding and head, in bf16, {_gb(outer)}"


def _rest(model: str) -> str:
    prediction = predict(setup(model, "qlora", least=True))
    return f"and with all else {_gb(prediction.total)} at 512 tokens"


def _card(name: str, count: int = 1) -> str:
    memory = builtin().row(name).memory_gib or 0
    return _gb(count * memory * 2**30)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
