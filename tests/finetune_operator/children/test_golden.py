"""Everything that is built, as YAML that a reviewer reads: GOLDEN=rewrite pytest writes it, the diff is the review."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.contract import TrainerConfig
from finetune_api.job import FineTuneJob
from finetune_operator.children.claim import work_claim
from finetune_operator.children.config_map import config_map
from finetune_operator.children.job import attempt_job
from finetune_operator.reconcile.resolve import paths_in_cluster, trainer_config
from finetune_operator.settings import Settings
from finetune_operator.sizing.hardware import builtin
from tests.finetune_operator.children.jobs import EVERYTHING, SHORTEST, job, sized

GOLDEN = Path(__file__).parent / "golden"
SETTINGS = Settings.model_validate(
    {
        "trainer": {
            "image": "registry.example/trainer:1",
            "imagePullSecrets": ["registry"],
            "env": {"HTTPS_PROXY": "http://proxy:3128", "HF_ENDPOINT": "https://overridden.example"},
        },
    }
)


def built(of: FineTuneJob) -> dict[str, Any]:
    """Kind -> manifest."""
    sizing = sized(of)
    hardware = builtin().row(sizing.accelerator)
    config = trainer_config(
        of, paths=paths_in_cluster(of), sizing=sizing, attempt=2, micro_batch_size=sizing.micro_batch_size or 1
    )
    manifest = config_map(of, config, sizing=sizing)
    manifest["data"] = {name: json.loads(text) for name, text in manifest["data"].items()}  # to be readable
    return {
        "claim": work_claim(of, SETTINGS.storage),
        "config_map": manifest,
        "job": attempt_job(of, attempt=2, hardware=hardware, sizing=sizing, settings=SETTINGS.trainer),
    }


@pytest.mark.parametrize("child", ["claim", "config_map", "job"])
@pytest.mark.parametrize(("name", "changes"), [("shortest", SHORTEST), ("everything", EVERYTHING)])
def test_golden(name: str, changes: dict[str, Any], child: str) -> None:
    path = GOLDEN / f"{name}.{child}.yaml"
    text = yaml.dump(built(job(changes))[child], sort_keys=False, Dumper=_NoAliases)
    if os.environ.get("GOLDEN") == "rewrite":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path.name}: look at the difference, then GOLDEN=rewrite pytest"


@pytest.mark.parametrize("changes", [SHORTEST, EVERYTHING])
def test_every_path_of_the_configuration_is_mounted(changes: dict[str, Any]) -> None:
    children = built(job(changes))
    config = children["config_map"]["data"]["config.json"]
    mounts = children["job"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    paths = [config["workDir"], *(destination["path"] for destination in config["output"]["destinations"])]
    paths += [
        source["path"] for source in (config["dataset"]["train"], config["dataset"].get("validation", {})) if source
    ]
    for path in paths:
        assert any(path == m["mountPath"] or path.startswith(f"{m['mountPath']}/") for m in mounts), path


@pytest.mark.parametrize("changes", [SHORTEST, EVERYTHING])
def test_the_trainer_can_read_what_it_is_told(changes: dict[str, Any]) -> None:
    told = built(job(changes))["config_map"]["data"]["config.json"]
    assert TrainerConfig.model_validate_json(json.dumps(told)).to_json() == told


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
