"""The ConfigMap that tells a trainer what to do."""

from __future__ import annotations

import json
from typing import Any

from finetune_api.contract import TrainerConfig
from finetune_api.job import FineTuneJob
from finetune_api.names import CONFIG_FILE, inspect_name
from finetune_api.status import Sizing
from finetune_operator.children.metadata import Manifest, of_attempt, owned

CONFIG_KEY = CONFIG_FILE.rpartition("/")[2]


def config_map(job: FineTuneJob, config: TrainerConfig, *, sizing: Sizing) -> Manifest:
    """Of an attempt."""
    return _config_map(of_attempt(job, config.job.attempt, sizing=sizing), config)


def inspect_config_map(job: FineTuneJob, config: TrainerConfig) -> Manifest:
    """Of the Job that reads the inputs."""
    return _config_map(owned(job, name=inspect_name(job.metadata.name)), config)


def _config_map(metadata: dict[str, Any], config: TrainerConfig) -> Manifest:
    """Immutable: what a trainer was told is what it did."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": {CONFIG_KEY: json.dumps(config.to_json(), indent=2, sort_keys=True) + "\n"},
    }
