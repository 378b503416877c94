"""The chart's values: their schema knows every setting of the operator, and their file holds what the schema asks."""

from __future__ import annotations

import json
from typing import Any

import yaml

from finetune_api import __version__
from finetune_operator.settings import Settings
from finetune_operator.sizing.hardware import Hardware
from tests.apiserver import TOP
from tests.golden import agrees

CHART = TOP / "charts/finetune-operator"
SCHEMA = CHART / "values.schema.json"


def test_the_schema_knows_every_setting():
    # GOLDEN=rewrite puts the models' own schemas where they belong; the rest of the file is written by hand
    schema = json.loads(SCHEMA.read_text())
    definitions: dict[str, Any] = {}
    for model in (Settings, Hardware):
        own = model.model_json_schema(ref_template="#/definitions/{model}")
        definitions |= {**own.pop("$defs"), model.__name__: own}
    schema["definitions"] = dict(sorted(definitions.items()))
    assert agrees(SCHEMA, json.dumps(schema, indent=2) + "\n"), "run `make golden` and commit values.schema.json"


def test_every_value_is_in_the_schema():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    properties = json.loads(SCHEMA.read_text())["properties"]
    assert set(values) == set(properties) - {"global"}
    for name in ("image", "crds", "rbac", "serviceAccount", "trainer"):
        assert set(values[name]) == set(properties[name]["properties"]), name


def test_the_chart_has_the_version_of_the_code():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
