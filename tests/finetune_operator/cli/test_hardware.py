"""`finetune hardware`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from finetune_operator.cli.main import main
from finetune_operator.sizing.hardware import builtin


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with rows, in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ours.yaml"
    path.write_text("- {name: T4, price: {onDemand: 0.123, date: 2020-01-01, source: us}}\n")
    return path


@pytest.mark.parametrize("options", [[], ["-o", "yaml"], ["-o", "json"], ["--hardware", "ours.yaml"]])
def test_every_kind_is_listed(options: list[str], ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hardware", *options]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in builtin().known_names())


@pytest.mark.parametrize(("output", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_for_programs_it_is_what_a_file_may_hold(
    output: str, load, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hardware", "-o", output]) == 0
    ours.write_text(yaml.safe_dump(load(capsys.readouterr().out)))
    assert main(["hardware", "-o", output, "--hardware", str(ours)]) == 0
    assert load(capsys.readouterr().out) == [row.to_json() for row in builtin()]


def test_columns_stand_below_their_heads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hardware"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    [t4] = [line for line in lines if line.startswith("T4 ")]
    for column, value in (("MEMORY GiB", "15.0"), ("TFLOP/s", "65.0"), ("BANDWIDTH GB/s", "320"), ("USD/h", "0.53")):
        end = head.index(column) + len(column)
        assert t4[:end].endswith(f" {value}")
    assert t4[head.index("BF16") :].startswith("no ")
    assert t4[head.index("RESOURCE") :].startswith("nvidia.com/gpu ")


def test_own_rows_and_old_prices(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hardware", "--hardware", str(ours)]) == 0
    out, err = capsys.readouterr()
    assert "0.12" in out
    assert err.startswith("warning: prices in the hardware table are over a year old (the oldest of 2020-01-01)")
    assert "T4" in err


def test_a_wrong_file(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours.write_text("- {name: T4, tflops: -1}\n")
    assert main(["hardware", "--hardware", "ours.yaml"]) == 78
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: ours.yaml:1: row T4: tflops: Input should be greater than 0\n")


def test_it_loads_nothing_heavy() -> None:
    program = "import sys; from finetune_operator.cli.main import main; main(['hardware']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {"torch", "transformers", "kopf", "kubernetes", "aiohttp", "numpy", "pandas", "rich"}
