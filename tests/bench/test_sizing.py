"""How good the memory model is, held at what it has reached; and the report itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import measured, points, sizing
from bench.measured import MeasuredError
from bench.sizing import HELD_OUT, KNOWN, Compared, figures

REPORT = sizing.compare(points.read())


@pytest.mark.parametrize(
    ("group", "rows", "median", "p90"),
    [
        (KNOWN, 66, 0.06, 0.15),
        (HELD_OUT, 63, 0.05, 0.18),  # read from their sources afterwards
    ],
)
def test_error_on_one_gpu(group: str, rows: int, median: float, p90: float) -> None:
    found = figures(REPORT.single(group))
    assert found.rows == rows
    assert found.median <= median
    assert found.p90 <= p90
    assert found.shown_median <= 0.07, "totalGiB as the user sees it, whatever was measured"
    assert found.under <= found.rows / 20, "requiredGiB is to be enough"


def test_every_row_is_compared_or_has_a_reason() -> None:
    rows = {str(each.id) for each in points.read()}
    compared = [each.name for each in (*REPORT.compared, *REPORT.fits)]
    left_out = [str(point.id) for point, _ in REPORT.left_out]
    assert sorted(compared + left_out) == sorted(rows)
    assert all(reason for _, reason in REPORT.left_out)


def compared(measured: int, expected: int, required: int) -> Compared:
    return Compared("1", "", "lora", KNOWN, 1, measured, expected, expected, required)


def test_figures() -> None:
    found = figures([compared(100, 110, 120), compared(100, 80, 89), compared(100, 100, 109)])
    assert found.rows == 3
    assert found.median == pytest.approx(0.1)
    assert found.p90 == pytest.approx(0.2)
    assert found.under == 1, "89 is more than a tenth below 100"


def test_ranges() -> None:
    assert sizing.ranges([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"


def test_json_has_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert sizing.main(["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["developedWith"]["median"] == figures(REPORT.single(KNOWN)).median
    assert told["heldOut"]["under"] == figures(REPORT.single(HELD_OUT)).under
    assert len(told["compared"]) == len(REPORT.compared)


def test_the_report_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert sizing.main(["--worst", "3"]) == 0
    text = capsys.readouterr().out
    assert f"{figures(REPORT.single(HELD_OUT)).median:.1%}" in text
    assert f"left out: {len(REPORT.left_out)}" in text


CONFIG = {
    **{"model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32},
    **{"num_key_value_heads": 8, "intermediate_size": 8192, "vocab_size": 128256, "tie_word_embeddings": True},
}
RUN = {
    **{"measuredBytes": 10_000_000_000, "config": CONFIG, "method": "lora", "microBatchSize": 4},
    **{"sequenceLength": 2048, "gradientCheckpointing": True, "engine": {"lossKernel": "eager"}},
}


def test_own_measurements(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(RUN) + "\n\n")
    ((setup, size, text),) = measured.read(path)
    assert (setup.micro_batch_size, setup.engine.loss_kernel, size) == (4, "eager", 10_000_000_000)
    assert text == "llama lora 4 x 2048 checkpointing"
    assert sizing.main(["--measured", str(path)]) == 0
    assert "own" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 1: Expecting property name"),
        (json.dumps({**RUN, "method": "prefix"}), "line 1: 1 validation error"),
        (json.dumps({name: value for name, value in RUN.items() if name != "config"}), "line 1: 'config' is missing"),
    ],
)
def test_a_bad_line(line: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(line)
    with pytest.raises(MeasuredError, match=says):
        list(measured.read(path))
