"""Models and data sets from folders and from a Hub, and each way in which they can't be had."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune_api.contract import SourceConfig
from finetune_trainer import hub as hub_module
from finetune_trainer.data.readers import read
from finetune_trainer.failure import Failure
from finetune_trainer.inputs import pin, pinned
from finetune_trainer.sources import fetch_dataset, fetch_model
from tests.finetune_trainer.fake_hub import FakeHub, Repo, running

ONE, TWO = "1" * 40, "2" * 40
MODEL = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights",
    "README.md": b"card",
    "LICENSE": b"mine",
    "pytorch_model.bin": b"pickle",
    "consolidated.safetensors": b"weights again",
    "original/params.json": b"{}",
    "onnx/model.onnx": b"other",
}
KEPT = ["LICENSE", "README.md", "config.json", "model.safetensors", "tokenizer.json"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        # a token of whoever runs the tests is none of their business
        monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: None)
        hub.repos["models/org/model"] = Repo({ONE: MODEL}, {"main": ONE})
        hub.good_tokens, hub.weak_tokens = {"hf_good"}, {"hf_weak"}
        yield hub


def source(repository: str = "org/model", **fields: Any) -> SourceConfig:
    return SourceConfig(uri=f"hf://{repository}", repository=repository, **fields)


def local(path: Path, **fields: Any) -> SourceConfig:
    return SourceConfig(uri=f"file://{path}", path=str(path), **fields)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def folder_of(path: Path, names: list[str]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("{}")
    return path


def test_model_is_taken_at_a_commit_and_only_what_is_needed(hub: FakeHub, tmp_path: Path) -> None:
    found = fetch_model(source(revision="main"), token=None, cache=tmp_path)
    assert found.revision == ONE
    assert files(found.path) == KEPT


def test_a_resume_does_not_follow_the_branch(hub: FakeHub, tmp_path: Path) -> None:
    inputs, asked = tmp_path / "inputs.json", source(revision="main")
    first = fetch_model(pinned(inputs, "model", asked), token=None, cache=tmp_path)
    pin(inputs, "model", asked, first.revision)
    repo = hub.repos["models/org/model"]
    repo.commits[TWO], repo.branches["main"] = MODEL | {"config.json": b'{"new": 1}'}, TWO
    again = fetch_model(pinned(inputs, "model", asked), token=None, cache=tmp_path / "lost")
    assert again.revision == ONE
    assert (again.path / "config.json").read_bytes() == b"{}"
    # another branch, another source, another input: nothing is pinned yet
    for other in (source(revision="v2"), source("org/other", revision="main")):
        assert pinned(inputs, "model", other) == other
    assert pinned(inputs, "train", asked) == asked


def test_what_is_complete_needs_no_hub(hub: FakeHub, tmp_path: Path) -> None:
    fetch_model(source(), token=None, cache=tmp_path)
    hub.broken = 503
    hub.asked.clear()
    assert files(fetch_model(source(revision=ONE), token=None, cache=tmp_path).path) == KEPT
    assert hub.asked == []


def test_a_broken_download_goes_on(hub: FakeHub, tmp_path: Path) -> None:
    found = fetch_model(source(), token=None, cache=tmp_path)
    (found.path / "tokenizer.json").unlink()
    hub.asked.clear()
    again = fetch_model(source(revision=ONE), token=None, cache=tmp_path)
    assert files(again.path) == KEPT
    assert not [line for line in hub.asked if line.startswith("GET") and line.endswith("model.safetensors")]


@pytest.mark.parametrize(
    ("change", "token", "outcome", "reason", "sentence"),
    [
        (
            {"repository": "org/nothing"},
            "hf_weak",
            "NotFound",
            "RepositoryNotFound",
            "the Hub has no model org/nothing",
        ),
        ({"repository": "org/nothing"}, None, "Permission", "NotFoundOrPrivate", "spec.model.tokenSecretRef"),
        ({"revision": "v9"}, None, "NotFound", "RevisionNotFound", 'no revision "v9"'),
        ({"revision": "9" * 40}, None, "NotFound", "RevisionNotFound", "no revision"),
        ({}, "hf_bad", "Permission", "TokenRefused", "the Hub refuses the token (HTTP 401)"),
        ({"gated": True}, None, "Permission", "GatedRepository", "request access at https://huggingface.co/org/model"),
        ({"gated": True}, "hf_weak", "Permission", "GatedRepository", "the token may not read it"),
        ({"private": True}, "hf_weak", "NotFound", "RepositoryNotFound", "the token may not see it"),
        ({"broken": 403}, "hf_good", "Permission", "TokenRefused", "HTTP 403"),
        ({"broken": 429}, None, "Transient", "RateLimited", "HTTP 429"),
        ({"broken": 500}, None, "Unavailable", "HubUnavailable", "HTTP 500"),
        ({"broken": 503}, None, "Unavailable", "HubUnavailable", "HTTP 503"),
        ({"broken": 418}, None, "Unavailable", "HubError", "HTTP 418"),
        ({"repository": "no/such/name"}, None, "BadConfig", "BadRepositoryName", "ORGANISATION/NAME"),
    ],
)
def test_hub_says_no(
    change: dict[str, Any], token: str | None, outcome: str, reason: str, sentence: str, hub: FakeHub, tmp_path: Path
) -> None:
    repo = hub.repos["models/org/model"]
    repo.gated, repo.private = change.get("gated", False), change.get("private", False)
    hub.broken = change.get("broken")
    asked = source(change.get("repository", "org/model"), revision=change.get("revision", "main"))
    with pytest.raises(Failure) as caught:
        fetch_model(asked, token=token, cache=tmp_path)
    assert (caught.value.outcome, caught.value.reason) == (outcome, reason)
    assert sentence in caught.value.message
    assert str(token) not in caught.value.message


@pytest.mark.parametrize("change", [{"gated": True}, {"private": True}], ids=str)
def test_the_right_token(change: dict[str, bool], hub: FakeHub, tmp_path: Path) -> None:
    for name, value in change.items():
        setattr(hub.repos["models/org/model"], name, value)
    assert files(fetch_model(source(), token="hf_good", cache=tmp_path).path) == KEPT


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Failure, match=r"http://127\.0\.0\.1:9 does not answer") as caught:
        fetch_model(source(), token=None, cache=tmp_path)
    assert (caught.value.outcome, caught.value.reason) == ("Unavailable", "HubUnreachable")


def test_disk_too_small_is_known_before(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
    with pytest.raises(Failure, match=r"spec\.storage\.size") as caught:
        fetch_model(source(), token=None, cache=tmp_path)
    assert (caught.value.outcome, caught.value.reason) == ("BadConfig", "DiskFull")
    assert not [line for line in hub.asked if "/resolve/" in line]


def test_disk_full_on_the_way(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hub_module, "snapshot_download", full)
    with pytest.raises(Failure, match="no space left while downloading") as caught:
        fetch_model(source(), token=None, cache=tmp_path)
    assert caught.value.outcome == "BadConfig"


NOT_A_MODEL = [
    (["model.safetensors"], "has no config.json"),
    (["adapter_config.json", "adapter_model.safetensors"], "holds an adapter"),
    (["model-Q4.gguf", "README.md"], "holds GGUF files"),
    (["config.json", "pytorch_model.bin"], "has its weights only as pickles"),
    (["config.json", "tokenizer.json"], "no weights (*.safetensors)"),
    (["config.json", "original/model.safetensors"], "no weights (*.safetensors)"),
]


@pytest.mark.parametrize(("names", "sentence"), NOT_A_MODEL)
def test_folder_without_a_model(names: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        fetch_model(local(folder_of(tmp_path / "model", names)), token=None, cache=tmp_path)
    assert (caught.value.outcome, caught.value.reason) == ("BadConfig", "NoModel")
    assert sentence in caught.value.message


@pytest.mark.parametrize(("names", "sentence"), NOT_A_MODEL)
def test_repository_without_a_model(names: list[str], sentence: str, hub: FakeHub, tmp_path: Path) -> None:
    """Found out before anything is downloaded."""
    hub.repos["models/org/model"].commits[ONE] = dict.fromkeys(names, b"{}")
    with pytest.raises(Failure) as caught:
        fetch_model(source(), token=None, cache=tmp_path)
    assert caught.value.reason == "NoModel"
    assert sentence in caught.value.message
    assert not [line for line in hub.asked if "/resolve/" in line]


def test_local_model(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "model", ["config.json", "model-00001-of-00002.safetensors"])
    found = fetch_model(local(path), token=None, cache=tmp_path)
    assert (found.path, found.revision) == (path, None)


@pytest.mark.parametrize("fetch", [fetch_model, fetch_dataset])
def test_missing_folder_says_what_is_there(fetch: Any, tmp_path: Path) -> None:
    folder_of(tmp_path / "claim", ["llama/config.json"])
    with pytest.raises(Failure, match=r'claim has "llama"') as caught:
        fetch(local(tmp_path / "claim" / "lama"), token=None, cache=tmp_path)
    assert caught.value.outcome == "NotFound"


@pytest.mark.parametrize("fetch", [fetch_model, fetch_dataset])
def test_other_kinds_of_source(fetch: Any, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"s3://bucket/x .* can't be read") as caught:
        fetch(SourceConfig(uri="s3://bucket/x"), token=None, cache=tmp_path)
    assert caught.value.outcome == "BadConfig"


def rows(*texts: str) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


CARD = b"""---
configs:
- config_name: default
  data_files:
  - {split: train, path: "data/train-*"}
  - {split: test, path: "data/test-*"}
- config_name: extra
  data_files:
  - {split: train, path: "more/*"}
---
"""
DATA = {
    "README.md": CARD,
    "data/train-0.jsonl": rows("a", "b"),
    "data/train-1.jsonl": rows("c"),
    "data/test-0.jsonl": rows("t"),
    "more/x.jsonl": rows("m"),
}


def texts(path: Path) -> list[str]:
    return [row.fields["text"] for row in read(path)]


@pytest.mark.parametrize(
    ("content", "fields", "expected"),
    [
        (DATA, {}, ["a", "b", "c"]),
        (DATA, {"split": "test"}, ["t"]),
        (DATA, {"subset": "extra"}, ["m"]),
        ({"train.jsonl": rows("a"), "test.jsonl": rows("t")}, {}, ["a"]),  # no card: by name
        ({"anything.jsonl": rows("a")}, {}, ["a"]),
        ({"train[1]*.jsonl": rows("a")}, {}, ["a"]),  # a name that reads like a pattern
    ],
    ids=["card", "split", "subset", "names", "one file", "odd name"],
)
def test_data_set_of_a_hub(content: Any, fields: Any, expected: list[str], hub: FakeHub, tmp_path: Path) -> None:
    hub.repos["datasets/org/data"] = Repo({ONE: content}, {"main": ONE})
    found = fetch_dataset(source("org/data", **fields), token=None, cache=tmp_path)
    assert found.revision == ONE
    assert texts(found.path) == expected
    downloaded = {line.rsplit("/", 1)[1] for line in hub.asked if line.startswith("GET") and "/resolve/" in line}
    assert downloaded <= {name.rsplit("/", 1)[-1] for name in [*files(found.path), "README.md"]}


@pytest.mark.parametrize(
    ("content", "fields", "outcome", "sentence"),
    [
        (DATA, {"split": "validation"}, "NotFound", 'no split "validation"; it has "test", "train"'),
        (DATA, {"subset": "none"}, "BadConfig", "subset: BuilderConfig 'none' not found"),
        ({"code.py": b""}, {}, "BadData", "has no data files"),
        ({"train.arrow": b""}, {}, "BadData", 'end in ".arrow"'),
    ],
)
def test_data_set_without_it(
    content: Any, fields: Any, outcome: str, sentence: str, hub: FakeHub, tmp_path: Path
) -> None:
    hub.repos["datasets/org/data"] = Repo({ONE: content}, {"main": ONE})
    with pytest.raises(Failure) as caught:
        fetch_dataset(source("org/data", **fields), token=None, cache=tmp_path)
    assert caught.value.outcome == outcome
    assert sentence in caught.value.message


def test_default_split(hub: FakeHub, tmp_path: Path) -> None:
    content = {"train.jsonl": rows("a"), "dev.jsonl": rows("v")}
    hub.repos["datasets/org/data"] = Repo({ONE: content}, {"main": ONE})
    found = fetch_dataset(source("org/data"), token=None, cache=tmp_path, default_split="validation")
    assert texts(found.path) == ["v"]


def test_gated_data_set_names_its_own_field(hub: FakeHub, tmp_path: Path) -> None:
    hub.repos["datasets/org/data"] = Repo({ONE: DATA}, {"main": ONE}, gated=True)
    with pytest.raises(Failure, match=r"huggingface\.co/datasets/org/data .*spec\.dataset\.train\.tokenSecretRef"):
        fetch_dataset(source("org/data"), token="hf_weak", cache=tmp_path)


def test_split_of_a_local_copy(tmp_path: Path) -> None:
    for name, content in DATA.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(content)
    found = fetch_dataset(local(tmp_path / "data", split="test"), token=None, cache=tmp_path / "cache")
    assert texts(found.path) == ["t"]
    whole = fetch_dataset(local(tmp_path / "data"), token=None, cache=tmp_path / "cache")
    assert texts(whole.path) == ["t", "a", "b", "c", "m"]
