"""One version for all that is shipped."""

from pathlib import Path

import yaml

from finetune_api import __version__

TREE = Path(__file__).parents[2]


def test_the_chart_has_the_version_of_the_code() -> None:
    chart = yaml.safe_load((TREE / "charts/finetune-operator/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
