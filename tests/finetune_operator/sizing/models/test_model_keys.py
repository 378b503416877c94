"""What the inspect pod leaves of a config.json has the shape of the whole."""

from __future__ import annotations

import json

import pytest

from finetune_api.model_keys import LIMIT, restored, shortened
from finetune_operator.sizing.models.config_json import from_config
from finetune_operator.sizing.models.families import FAMILIES
from finetune_operator.sizing.models.keys import ModelError

pytestmark = pytest.mark.train  # it imports transformers


def test_of_every_family() -> None:
    from transformers import CONFIG_MAPPING

    compared = 0
    for model_type in FAMILIES:
        if model_type not in CONFIG_MAPPING:
            continue
        config = json.loads(json.dumps(CONFIG_MAPPING[model_type]().to_dict(), default=str))
        try:
            whole = from_config(config)
        except ModelError:
            continue
        text = shortened(config)
        left = restored(text)
        assert left is not None
        assert len(text) <= LIMIT
        assert from_config(left) == whole, model_type
        compared += 1
    assert compared > 40
