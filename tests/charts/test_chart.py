"""The chart as helm renders it: golden files for a person, and what must hold of every rendering."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_operator import configuration
from tests.apiserver import CRD
from tests.charts import helm
from tests.golden import agrees

# helm comes from the same cache as the API server, and is built for minutes where it is not there.
pytestmark = pytest.mark.apiserver

GOLDEN = Path(__file__).parent / "golden"
EVERYTHING: dict[str, Any] = {
    "image": {"repository": "registry.example/operator", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
    "imagePullSecrets": ["pull"],
    "trainer": {"image": "registry.example/trainer@sha256:" + "1" * 64},
    "settings": {
        "namespaces": ["team-a", "team-b"],
        "progressThrough": "apiServer",
        "logLevel": "debug",
        "trainer": {"env": {"HTTPS_PROXY": "http://proxy:3128"}},
        "limits": {"sweepSeconds": 86400},
    },
    "replicas": 2,
    "crds": {"install": False},
    "rbac": {"aggregate": False},
    "serviceAccount": {"name": "tuner", "annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
}
OWN_TESTS = ("crd", "hardware")
"""Templates that are long copies of a file."""


@pytest.mark.parametrize(("name", "values"), [("default", {}), ("everything", EVERYTHING)])
def test_golden(name: str, values: dict[str, Any]):
    parts = helm.render(values).split("---\n# Source: finetune-operator/templates/")
    kept = [part for part in parts if part.partition(".yaml\n")[0] not in OWN_TESTS]
    assert agrees(GOLDEN / f"{name}.yaml", "---\n# Source: finetune-operator/templates/".join(kept))


def test_the_definition_is_the_generated_one_and_kept():
    (crd,) = [each for each in helm.objects(helm.render()) if each["kind"] == "CustomResourceDefinition"]
    assert crd == yaml.safe_load(CRD.read_text())
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "everything"])
def test_the_operator_can_read_its_settings(values: dict[str, Any], tmp_path: Path):
    config_map = helm.one(helm.render(values), "ConfigMap", "finetune-operator")
    path = tmp_path / "settings.yaml"
    path.write_text(config_map["data"]["settings.yaml"])
    settings = configuration.load(path, {})
    assert settings.trainer.image == values.get("trainer", {"image": "finetune-trainer:latest"})["image"]
    assert settings.namespaces == values.get("settings", {}).get("namespaces", [])


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, "finetune-operator:0.1.0"),
        ({"tag": "v2"}, "finetune-operator:v2"),
        ({"tag": "v2", "digest": "sha256:" + "a" * 64}, "finetune-operator@sha256:" + "a" * 64),
        ({"tag": "v2", "reference": "r/o@sha256:b"}, "r/o@sha256:b"),
    ],
)
def test_image(image: dict[str, str], reference: str):
    (deployment,) = [each for each in helm.objects(helm.render({"image": image})) if each["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == reference


def test_changed_settings_make_new_pods():
    def checksum(settings: dict[str, Any]) -> str:
        rendered = helm.objects(helm.render({"settings": settings}))
        (deployment,) = [each for each in rendered if each["kind"] == "Deployment"]
        found: str = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
        return found

    assert checksum({}) == checksum({}) != checksum({"workers": 8})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"settings": {"logLevle": "debug"}}, "logLevle"),
        ({"settings": {"trainer": {"memory": "4GB"}}}, "memory"),
        ({"replica": 2}, "replica"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"trainer": {"image": ""}}, "image"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], words: str):
    with pytest.raises(RuntimeError, match=rf"values don't meet the specifications(.|\n)*{words}"):
        helm.render(values)


def test_names_of_another_release():
    rendered = helm.objects(helm.render({"crds": {"install": False}}, release="mine"))
    assert {each["metadata"]["name"].removesuffix("-view").removesuffix("-edit") for each in rendered} == {
        "mine-finetune-operator",
        "mine-finetune-operator-lease",
        "mine-finetune-operator-hardware",
    }
