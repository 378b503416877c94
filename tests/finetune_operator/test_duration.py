"""A time as people write it."""

from __future__ import annotations

import pytest

from finetune_operator.duration import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (45, "45s"),
        (60, "1m"),
        (750, "12m30s"),
        (7500, "2h5m"),
        (7205, "2h"),
        (3600 * 76, "3d4h"),
        (59.9, "1m"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
