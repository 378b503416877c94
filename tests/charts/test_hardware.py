"""The hardware table in the chart: what the operator would read, with what the values say over it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from finetune_operator.sizing.hardware import Table, builtin
from finetune_operator.sizing.hardware.read import read
from tests.charts import helm

pytestmark = pytest.mark.apiserver

TODAY = date(2026, 6, 1)
OURS: list[dict[str, Any]] = [
    {"name": "a100-80gb", "price": {"onDemand": 1.1, "date": "2026-03-01", "source": "our own machines"}},
    {"name": "H100", "price": None, "perNode": 4},
    {
        "name": "Z9000",
        "resource": "example.com/accelerator",
        "label": "example.com/product",
        "products": ["Z9000-a", "Z9000-b"],
        "memoryGiB": 31.25,
        "bf16": True,
        "tflops": 100,
        "bandwidthGBs": 1000,
    },
]


def rendered(hardware: list[dict[str, Any]], folder: Path) -> Table:
    """The table that the operator reads from the ConfigMap."""
    config_map = helm.one(helm.render({"hardware": hardware}), "ConfigMap", "finetune-operator-hardware")
    path = folder / "hardware.yaml"
    path.write_text(config_map["data"]["hardware.yaml"])
    return read(path, today=TODAY, over=Table(()))


def test_it_is_the_operators_own(tmp_path: Path):
    assert rendered([], tmp_path) == builtin()


def test_values_change_rows_as_the_operator_would(tmp_path: Path):
    path = tmp_path / "ours.yaml"
    path.write_text(json.dumps(OURS))
    table = rendered(OURS, tmp_path)
    assert table == read(path, today=TODAY)
    assert table != builtin()


def test_a_date_in_yaml_stays_a_date(tmp_path: Path):
    values = tmp_path / "values.yaml"
    values.write_text("hardware: [{name: T4, price: {spot: 0.1, date: 2026-03-01}}]\n")
    text = helm.run("template", "finetune-operator", str(helm.CHART), "--kube-version=1.34", f"--values={values}")
    rows = yaml.safe_load(helm.one(text, "ConfigMap", "finetune-operator-hardware")["data"]["hardware.yaml"])
    assert [str(row["price"]["date"]) for row in rows if row["name"] == "T4"] == ["2026-03-01"]


def test_the_operator_finds_the_file():
    text = helm.render()
    settings = yaml.safe_load(helm.one(text, "ConfigMap", "finetune-operator")["data"]["settings.yaml"])
    pod = helm.one(text, "Deployment", "finetune-operator")["spec"]["template"]["spec"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "hardware"]
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "hardware"]
    path = PurePosixPath(settings["hardwareFile"])
    assert str(path.parent) == mount["mountPath"]
    assert path.name in helm.one(text, "ConfigMap", volume["configMap"]["name"])["data"]


def test_a_changed_table_makes_no_new_pods():
    def pod(hardware: list[dict[str, Any]]) -> Any:
        return helm.one(helm.render({"hardware": hardware}), "Deployment", "finetune-operator")["spec"]["template"]

    assert pod([]) == pod(OURS)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"name": "T4", "price": {"onDemand": -1, "date": "2026-03-01"}}, "onDemand"),
        ({"name": "T4", "price": {"onDemand": 1}}, "date"),
        ({"name": "T4", "memroyGiB": 15}, "memroyGiB"),
        ({"memoryGiB": 15}, "name"),
    ],
)
def test_wrong_rows_are_refused_before_anything_is_installed(row: dict[str, Any], words: str):
    with pytest.raises(RuntimeError, match=rf"values don't meet the specifications(.|\n)*{words}"):
        helm.render({"hardware": [row]})
