"""Settings: where each comes from, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune_operator.configuration import SettingsError, load
from finetune_operator.settings import Settings


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_nothing_said_is_the_defaults(tmp_path: Path) -> None:
    assert load(None, {}) == Settings()
    assert load(write(tmp_path, "# nothing\n"), {}) == Settings()


FILE = """\
logLevel: debug
namespaces: [team-a]
trainer:
  image: registry/trainer:1
  env: {HF_ENDPOINT: "https://mirror"}
"""


@pytest.mark.parametrize(
    ("environ", "changed"),
    [
        ({}, {}),
        ({"FINETUNE_LOG_LEVEL": "warning"}, {"logLevel": "warning"}),
        ({"FINETUNE_NAMESPACES": "a, b"}, {"namespaces": ["a", "b"]}),
        ({"FINETUNE_NAMESPACES": '["a"]'}, {"namespaces": ["a"]}),
        ({"FINETUNE_NAMESPACES": ""}, {"namespaces": []}),
        ({"FINETUNE_TRAINER__IMAGE": "other"}, {"trainer": {"image": "other"}}),
        ({"FINETUNE_TRAINER__ENV__HTTPS_PROXY": "p"}, {"trainer": {"env": {"HTTPS_PROXY": "p"}}}),
        ({"FINETUNE_LIMITS__SWEEP_SECONDS": "60"}, {"limits": {"sweepSeconds": 60.0}}),
        ({"FINETUNE_HTTP_PORT": "0"}, {"httpPort": 0}),
        # Kubernetes makes these of a Service of our name, and other tools have these.
        ({"FINETUNE_OPERATOR_SERVICE_HOST": "10.0.0.1", "FINETUNE_OPERATOR_PORT_8080_TCP": "tcp://"}, {}),
        ({"FINETUNE_CACHE": "/cache", "FINETUNE_CONFIG": "/etc/config.json"}, {}),
    ],
)
def test_a_variable_overrides_its_field_alone(tmp_path: Path, environ: dict[str, str], changed: dict[str, Any]) -> None:
    before = load(write(tmp_path, FILE), {}).to_json()
    after = load(write(tmp_path, FILE), environ).to_json()
    assert after == merged(before, changed)


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return old | {k: merged(old[k], v) if isinstance(v, dict) else v for k, v in new.items()}


@pytest.mark.parametrize(
    ("text", "environ", "said"),
    [
        ("logLevel: loud", {}, ("settings.yaml:1: logLevel:", "'debug'")),
        ("\nlimits:\n  sweepSeconds: 1\n", {}, ("settings.yaml:3: limits.sweepSeconds:", "greater than or equal to 5")),
        ("namespaces:\n- fine\n- Not Fine\n", {}, ("settings.yaml:3: namespaces[1]:",)),
        ("log_level: debug", {}, ("settings.yaml:1: log_level: no such setting",)),
        ("trainer:\n  imag: x\n", {}, ("settings.yaml:2: trainer.imag: no such setting",)),
        ("trainer: {image: a, image: b}", {}, ("settings.yaml:1: trainer.image: is given twice",)),
        ("[1]", {}, ("settings.yaml:1: must be a mapping",)),
        ("a: [", {}, ("settings.yaml:1: is not YAML",)),
        ("workers: 1\nlogLevel:\tdebug", {}, ("settings.yaml:2: is not YAML", "'\\t'")),
        ("? [a]\n: 1", {}, ("settings.yaml:1: is not YAML",)),
        ("trainer: !!python/name:os.system x", {}, ("settings.yaml:1: is not YAML",)),
        ("logLevel: 2026-02-30", {}, ("settings.yaml: is not YAML", "day is out of range")),
        ("a: &a [*a]", {}, ("settings.yaml: an anchor contains itself",)),
        ("workers: .nan", {}, ("settings.yaml:1: workers:",)),
        ("trainer: 3", {"FINETUNE_TRAINER__IMAGE": "x"}, ("FINETUNE_TRAINER__IMAGE: trainer of the settings file",)),
        ("", {"FINETUNE_WORKERS": "many"}, ("FINETUNE_WORKERS: workers:", "valid integer")),
        ("", {"FINETUNE_LOG_LEVL": "debug"}, ("FINETUNE_LOG_LEVL: no such setting; did you mean FINETUNE_LOG_LEVEL?",)),
        ("", {"FINETUNE_TRAINER__IMAG": "x"}, ("FINETUNE_TRAINER__IMAG: trainer has no imag; it has", "image")),
        ("", {"FINETUNE_TRAINER": "x"}, ("FINETUNE_TRAINER: trainer is a group",)),
        ("", {"FINETUNE_WORKERS__X": "1"}, ("FINETUNE_WORKERS__X: workers is a value",)),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(
    tmp_path: Path, text: str, environ: dict[str, str], said: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, text), environ)
    for part in said:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value), "a line of the pod's log"


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, "workers: 0\nhttpPort: -1\n"), {})
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: cannot be read: .*No such file"):
        load(tmp_path / "nowhere.yaml", {})
