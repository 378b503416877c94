"""The catalogue is what its sources say, its figures are those that others publish, and its names are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune_operator.sizing.models.catalogue import lookup
from finetune_operator.sizing.models.config_json import from_config
from models import generate
from models.generate import CATALOGUE, Entry, SourceError, catalogue, entries, expanded

ENTRIES = entries()


def test_catalogue_is_current() -> None:
    assert CATALOGUE.read_text(encoding="utf-8") == catalogue(), "run `python -m models.generate`"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.names[0])
def test_parameters_are_those_that_others_publish(entry: Entry) -> None:
    counted = from_config(entry.config).parameters
    assert abs(counted - entry.published) <= entry.within * entry.published, entry.source


@pytest.mark.parametrize(
    ("source", "parameters"),
    [
        # exact counts in the safetensors metadata of these repositories
        ("hf://meta-llama/Llama-3.1-8B", 8_030_261_248),
        ("hf://meta-llama/Llama-3.1-70B", 70_553_706_496),
        ("hf://meta-llama/Llama-3.1-405B", 405_853_388_800),
        ("hf://Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
        ("hf://Qwen/Qwen2.5-72B-Instruct", 72_706_203_648),
        ("hf://Qwen/Qwen3-30B-A3B", 30_532_122_624),
        ("hf://HuggingFaceTB/SmolLM3-3B", 3_075_098_624),
        ("hf://allenai/OLMo-2-1124-7B", 7_298_617_344),
        ("hf://openai/gpt-oss-20b", 20_914_757_184),
        ("hf://deepseek-ai/DeepSeek-V2-Lite", 15_706_484_224),
        ("hf://mistral-community/Mixtral-8x22B-v0.1", 140_620_634_112),
    ],
)
def test_well_known_counts(source: str, parameters: int) -> None:
    it = lookup(source)
    assert it is not None
    assert it.parameters == parameters


@pytest.mark.parametrize(
    ("source", "active_billions"),
    [
        # their model cards
        ("hf://Qwen/Qwen3-30B-A3B", 3.3),
        ("hf://Qwen/Qwen3-235B-A22B", 22),
        ("hf://mistralai/Mixtral-8x7B-v0.1", 12.9),
        ("hf://microsoft/Phi-3.5-MoE-instruct", 6.6),
        ("hf://openai/gpt-oss-120b", 5.7),
        ("hf://deepseek-ai/DeepSeek-V3", 37.6),
        ("hf://allenai/OLMoE-1B-7B-0924", 1.3),
    ],
)
def test_active_parameters(source: str, active_billions: float) -> None:
    it = lookup(source)
    assert it is not None
    assert it.active_parameters / 1e9 == pytest.approx(active_billions, rel=0.05)


@pytest.mark.parametrize(
    ("source", "stored"),
    [
        ("hf://meta-llama/Llama-3.1-8B-Instruct", None),
        ("hf://META-LLAMA/llama-3.1-8b-instruct", None),
        ("hf://meta-llama/Llama-3.1-8B-Instruct/", None),
        ("hf://unsloth/Llama-3.1-8B-Instruct", None),
        ("hf://unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit", "bitsandbytes"),
        ("hf://unsloth/Llama-3.1-8B-Instruct-unsloth-bnb-4bit", "bitsandbytes"),
        ("hf://NousResearch/Meta-Llama-3.1-8B", None),
        ("hf://RedHatAI/Llama-3.1-8B-Instruct-FP8", "not found"),  # no mirror that is known
        ("hf://Qwen/Qwen2.5-7B-Instruct-AWQ", "awq"),
        ("hf://Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "gptq"),
        ("hf://Qwen/Qwen3-8B-FP8", "fp8"),
        ("hf://openai/gpt-oss-20b", "mxfp4"),
        ("hf://unsloth/gpt-oss-20b-BF16", None),
        ("hf://gpt2", None),
        ("hf://somebody/Llama-3.1-8B-Instruct", "not found"),
        ("hf://meta-llama/Llama-9-1B", "not found"),
        ("hf://unsloth/", "not found"),
        ("pvc://models/meta-llama/Llama-3.1-8B", "not found"),
        ("", "not found"),
    ],
)
def test_lookup(source: str, stored: str | None) -> None:
    it = lookup(source)
    assert (it.stored_quantization if it else "not found") == stored


def test_every_name_is_found() -> None:
    for entry in ENTRIES:
        for name in entry.names:
            assert lookup(f"hf://{name}") == from_config(entry.config)


def test_there_are_enough() -> None:
    assert len(ENTRIES) >= 80
    assert sum(len(entry.names) for entry in ENTRIES) >= 300


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("a", ["a"]),
        ("a{,-b}", ["a", "a-b"]),
        ("{a,b}/c{1,2}", ["a/c1", "a/c2", "b/c1", "b/c2"]),
    ],
)
def test_braces(written: str, names: list[str]) -> None:
    assert list(expanded(written)) == names


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"parameters": 8_030_261_249},
            "one.yaml: model 1 (a/b): has 8030261248 parameters, and 8030261249 by the Hub",
        ),
        ({"ids": ["a b"]}, "one.yaml: model 1: a b is no id of a model"),
        ({"ids": ["a/b", "A/B"]}, "one.yaml: A/B is there already, in one.yaml"),
        ({"ids": []}, "one.yaml: model 1: "),
        ({"config": {"model_type": "llama"}}, "one.yaml: model 1 (a/b): hidden_size is missing"),
        ({"color": "red"}, "one.yaml: model 1: "),
    ],
)
def test_source_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], said: str
) -> None:
    right = next(entry for entry in ENTRIES if entry.names[0] == "meta-llama/Meta-Llama-3.1-8B")
    written = {"ids": ["a/b"], "parameters": 8_030_261_248, "config": right.config, **change}
    # YAML is a superset of JSON
    (tmp_path / "one.yaml").write_text(json.dumps([written]), encoding="utf-8")
    monkeypatch.setattr(generate, "SOURCES", tmp_path)
    with pytest.raises(SourceError) as error:
        entries()
    assert said in str(error.value)


def test_check_tells_of_a_stale_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = generate.SOURCES.parent / "catalogue.json"
    monkeypatch.setattr(generate, "CATALOGUE", path)
    assert generate.main(["--check"]) == 1
    assert "catalogue.json: is stale; run `python -m models.generate`" in capsys.readouterr().err
    assert not path.exists()
