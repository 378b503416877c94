"""What is left of a config.json is read as the whole would be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.model_keys import LIMIT, restored, shortened

WORDS = st.sampled_from(["full_attention", "sliding_attention", "linear_attention"])
VALUES = st.none() | st.booleans() | st.integers() | st.lists(WORDS, max_size=80) | st.lists(st.integers(0, 9))


def test_layers_are_one_character_each() -> None:
    layers = (["sliding_attention"] * 5 + ["full_attention"]) * 10
    text = shortened({"model_type": "gemma3_text", "layer_types": layers})
    assert len(text) < 180
    assert restored(text) == {"model_type": "gemma3_text", "layer_types": layers}


def test_what_no_shape_depends_on_is_left_out() -> None:
    config = {"hidden_size": 8, "bos_token_id": 1, "rope_theta": 1e6, "rms_norm_eps": 1e-5, "_name_or_path": "x"}
    config |= {"auto_map": {"AutoConfig": "c.C"}, "sliding_window": None, "final_logit_softcapping": 30.0}
    assert restored(shortened(config)) == {"hidden_size": 8, "sliding_window": None, "final_logit_softcapping": 30.0}


@given(st.dictionaries(st.from_regex(r"n[a-z]{1,12}", fullmatch=True), VALUES, max_size=8))
def test_what_fits_comes_back_as_it_was(config: dict[str, Any]) -> None:
    text = shortened(config)
    assert len(text) <= LIMIT
    found = restored(text)
    assert found is not None
    assert all(found[key] == config[key] for key in found)
    if len(json.dumps(config, separators=(",", ":"))) <= LIMIT:
        assert found == config


def test_numbers_stay_when_there_is_too_much() -> None:
    config: dict[str, Any] = {f"name_{n}": "x" * 60 for n in range(100)} | {"hidden_size": 4096, "num_layers": 32}
    found = restored(shortened(config))
    assert found is not None
    assert (found["hidden_size"], found["num_layers"]) == (4096, 32)


@pytest.mark.parametrize(
    "text", ["", "[]", "1", '{"a"', '{"a":{"$kinds":["x"],"$layers":"09"}}', "[" * 100_000], ids=str.__len__
)
def test_what_is_no_such_text_is_no_error(text: str) -> None:
    assert restored(text) in (None, {"a": None})
