"""The ConfigMap that tells an attempt's trainer what to do."""

from __future__ import annotations

import json

from finetune_api.contract import TrainerConfig
from finetune_api.job import FineTuneJob
from finetune_api.names import CONFIG_FILE
from finetune_operator.children.metadata import Manifest, of_attempt

CONFIG_KEY = CONFIG_FILE.rpartition("/")[2]


def config_map(job: FineTuneJob, config: TrainerConfig, *, accelerator: str) -> Manifest:
    """Immutable: what an attempt was told is what it did."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": of_attempt(job, config.job.attempt, accelerator=accelerator),
        "immutable": True,
        "data": {CONFIG_KEY: json.dumps(config.to_json(), indent=2, sort_keys=True) + "\n"},
    }
