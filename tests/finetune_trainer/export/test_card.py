"""What the model card says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.contract import TrainerConfig
from finetune_api.status import Metrics, ResolvedInputs
from finetune_trainer.export.card import Measured, card, license_of

MEASURED = Measured(
    steps=18,
    max_length=128,
    first_loss=2.5,
    eval_loss_before=2.0,
    metrics=Metrics(train_loss=1.5, eval_loss=1.0, perplexity=2.7183, train_rows=48, train_tokens=99, trained_tokens=9),
)
HUB = {"uri": "hf://org/base", "repository": "org/base", "revision": "main"}


def written(job: dict[str, Any], base_license: str | None = "mit") -> tuple[dict[str, Any], str]:
    config = TrainerConfig.model_validate(job)
    text = card(config, MEASURED, resolved=ResolvedInputs(model_revision="9f5a"), base_license=base_license)
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_a_hub_model_is_named(job: dict[str, Any]) -> None:
    job["model"]["source"] = HUB
    front, body = written(job)
    assert front["base_model"] == "org/base"
    assert front["license"] == "mit"
    assert (front["library_name"], front["pipeline_tag"]) == ("peft", "text-generation")
    assert "`hf://org/base` at revision `9f5a`" in body
    for said in ("| validation loss before training | 2.0000 |", "| validation loss | 1.0000 |", "2.5000", "rank 8"):
        assert said in body


def test_a_path_is_no_hub_model(job: dict[str, Any]) -> None:
    front, body = written(job, None)
    assert "base_model" not in front
    assert "license" not in front
    assert "not stated; see the base model" in body


@pytest.mark.parametrize(
    ("readme", "stated"),
    [
        ("---\nlicense: apache-2.0\n---\n# x", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: llama3.1\n---\n", "llama3.1"),
        ("---\ntags: [a]\n---\n", None),
        ("# no front matter", None),
        ("---\n{[\n---\n", None),
    ],
)
def test_the_base_models_licence(tmp_path: Path, readme: str, stated: str | None) -> None:
    (tmp_path / "README.md").write_text(readme)
    assert license_of(tmp_path) == stated
