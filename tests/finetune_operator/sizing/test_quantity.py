"""Kubernetes quantities as numbers."""

from __future__ import annotations

import pytest

from finetune_operator.sizing.quantity import amount


@pytest.mark.parametrize(
    ("text", "number"), [("500m", 0.5), (8, 8), ("2.5", 2.5), ("1k", 1000), ("1Ki", 1024), ("1.5Gi", 1.5 * 2**30)]
)
def test_amount(text: str | int, number: float) -> None:
    assert float(amount(text)) == number


@pytest.mark.parametrize("text", ["", "8 Gi", "8GiB", "-1", "x"])
def test_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        amount(text)
