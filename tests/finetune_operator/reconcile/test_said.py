"""Termination messages of whatever image a user may name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from finetune_api.contract import Outcome
from finetune_api.status import Metrics, Output
from finetune_operator.reconcile.said import read_result, words

CORE = {"outcome": "Succeeded", "reason": "Succeeded", "message": "trained 9 steps"}
OUTPUT = {"kind": "adapter", "uri": "pvc://x-work/output", "digest": "sha256:0", "sizeBytes": 7}


def result_of(**more: Any) -> Any:
    return read_result(json.dumps(CORE | more))


def test_everything_that_is_known_is_taken() -> None:
    found = result_of(contractVersion=1, step=9, metrics={"evalLoss": 0.5}, outputs=[OUTPUT])
    assert found.step == 9
    assert found.metrics == Metrics(eval_loss=0.5)
    assert found.outputs == [Output.model_validate(OUTPUT)]


@pytest.mark.parametrize(
    ("more", "metrics", "step"),
    [
        ({"contractVersion": 2, "colour": "blue"}, Metrics(eval_loss=0.5), 9),
        ({"metrics": {"evalLoss": 0.5, "bleu": 1}}, Metrics(eval_loss=0.5), 9),
        ({"metrics": {"evalLoss": float("nan")}}, None, 9),  # the API server takes no such number
        ({"metrics": "many"}, None, 9),
        ({"step": "many"}, Metrics(eval_loss=0.5), None),
        ({"outputs": [{"kind": "poem"}]}, Metrics(eval_loss=0.5), 9),
    ],
)
def test_what_another_version_says_is_taken_as_far_as_it_is_understood(
    more: dict[str, Any], metrics: Metrics | None, step: int | None
) -> None:
    found = result_of(**({"step": 9, "metrics": {"evalLoss": 0.5}, "outputs": [OUTPUT]} | more))
    assert found.outcome is Outcome.SUCCEEDED
    assert found.metrics == metrics
    assert found.step == step


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("Traceback\n  File x\n\nValueError: no", "Traceback / File x / ValueError: no"),
        ("[1, 2]", "[1, 2]"),
        ('{"outcome": "Succeeded"', '{"outcome": "Succeeded"'),
        ("[" * 100_000, "[" * 1000),
        (json.dumps(CORE | {"outcome": "Bewitched"}), "trained 9 steps"),
        (json.dumps(CORE | {"reason": 3}), "trained 9 steps"),
    ],
)
def test_what_is_no_result_is_words(text: str, shown: str) -> None:
    assert read_result(text) is None
    assert words(text) == shown
