"""Every example is a job that the API server takes and this version does, and that nothing needs to be said about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune_api import manifest
from finetune_operator.cli.main import main
from finetune_operator.local.place import require_support

EXAMPLES = Path(__file__).parents[1] / "examples"
DEMO = {
    "model_type": "llama",
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
    "vocab_size": 2048,
}
QWEN = {
    "model_type": "qwen2",
    "hidden_size": 1536,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "intermediate_size": 8960,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
# Rows of its data, and a config.json where the model is nowhere to be looked up.
INPUTS = {
    "data-on-a-claim": (5_000, QWEN),
    "full": (2_119_719, None),  # TinyStories
    "gated-model": (5_000, None),
    "local": (600, DEMO),
    "lora-llama-8b": (9_500, None),  # no_robots
    "qlora-on-one-gpu": (51_760, None),  # alpaca-cleaned
    "quickstart": (600, DEMO),
    "suspended": (9_500, None),  # no_robots
}
PATHS = sorted(EXAMPLES.glob("*.yaml"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_is_a_job_that_runs(path: Path) -> None:
    require_support(manifest.read(path))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_fits_and_needs_no_advice(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, config = INPUTS[path.stem]
    options = []
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
        options = ["--model-config", str(tmp_path)]
    assert main(["plan", "-f", str(path), "--rows", str(rows), "--tokens", str(200 * rows), *options]) == 0
    shown = capsys.readouterr().out
    assert "with margin" in shown
    assert [line for line in shown.splitlines() if line.startswith(("advice:", "note:"))] == []


def test_local_is_the_quickstart_on_this_machine() -> None:
    quickstart, local = (manifest.read(EXAMPLES / f"{name}.yaml").spec for name in ("quickstart", "local"))
    assert local.training == quickstart.training
    assert local.adapter == quickstart.adapter
    assert local.method == quickstart.method
