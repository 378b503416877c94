"""The dropout that is counted with is the trainer's: none where experts get an adapter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetune_api.spec.training import AdapterSpec
from finetune_operator.sizing.choice.contradictions import check
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.choice.request import Request
from tests.finetune_operator.sizing.choice.plain import request
from tests.finetune_operator.sizing.memory.shapes import architecture


def asked(model: str, adapter: dict[str, Any], method: str = "lora") -> Request:
    return replace(request(method), adapter=AdapterSpec.model_validate(adapter), architecture=architecture(model))


@pytest.mark.parametrize(
    ("model", "adapter", "dropout"),
    [
        ("llama-8b", {}, 0.05),
        ("llama-8b", {"dropout": 0.1}, 0.1),
        ("qwen3-moe", {}, 0.0),
        ("qwen3-moe", {"dropout": 0}, 0.0),
        ("qwen3-moe", {"targetModules": ["q_proj"]}, 0.05),
        ("qwen3-moe", {"targetModules": ["q_proj"], "dropout": 0.2}, 0.2),
        ("qwen3-moe", {"targetModules": ["q_proj", "down_proj"]}, 0.0),
    ],
)
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_dropout(model: str, adapter: dict[str, Any], dropout: float, method: str) -> None:
    of = asked(model, adapter, method)
    assert of.dropout == dropout
    check(of)


@pytest.mark.parametrize("adapter", [{"dropout": 0.1}, {"dropout": 0.1, "targetModules": ["q_proj", "down_proj"]}])
def test_experts_can_have_none(adapter: dict[str, Any]) -> None:
    with pytest.raises(SizingError, match=r"^spec\.adapter\.dropout: 0\.1 can't be, because the model's experts get"):
        check(asked("qwen3-moe", adapter))
