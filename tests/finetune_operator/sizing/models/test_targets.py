"""Which names of modules a model does not have: what the trainer would refuse when it has a GPU already."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.models.catalogue import lookup
from finetune_operator.sizing.models.families import FAMILIES
from finetune_operator.sizing.models.keys import ModelError
from finetune_operator.sizing.models.spec import CUSTOM
from finetune_operator.sizing.models.targets import refuse_unknown_targets

LLAMA, MIXTRAL = "meta-llama/Llama-3.1-8B", "mistralai/Mixtral-8x7B-v0.1"


def known(name: str) -> Architecture:
    found = lookup(f"hf://{name}")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (LLAMA, "all-linear"),
        (LLAMA, "q_proj"),
        (LLAMA, "model.layers.3.self_attn.q_proj"),
        (LLAMA, "embed_tokens"),
        (MIXTRAL, "w1"),
        ("openai-community/gpt2", "c_attn"),
        ("openai-community/gpt2", "wpe"),
    ],
)
def test_known(model: str, target: str) -> None:
    refuse_unknown_targets(known(model), [target])


@pytest.mark.parametrize(
    ("model", "target", "says"),
    [
        (LLAMA, "q_porj", '"q_porj" is not a module of llama; it has down_proj, gate_proj, k_proj, o_proj, q_proj,'),
        (LLAMA, "c_attn", '"c_attn" is not a module of llama'),
        (LLAMA, "q_proj.", '"q_proj." is not a module of llama'),
        (LLAMA, "lm_head", '"lm_head" is the output head, which an adapter would not train; put it into modulesToSave'),
        ("openai-community/gpt2", "q_proj", '"q_proj" is not a module of gpt2; it has c_attn, c_fc, c_proj'),
        (MIXTRAL, "up_proj", '"up_proj" is not a module of mixtral'),
    ],
)
def test_unknown(model: str, target: str, says: str) -> None:
    with pytest.raises(ModelError) as error:
        refuse_unknown_targets(known(model), ["o_proj" if "gpt2" not in model else "c_proj", target])
    assert f"spec.adapter.targetModules: {says}" in str(error.value)


def test_what_a_shape_calls_its_matrices_is_not_known() -> None:
    refuse_unknown_targets(replace(known(LLAMA), model_type=CUSTOM), ["wqkv"])


@pytest.mark.train
def test_the_trainer_refuses_the_same_of_every_family() -> None:
    """Every name that some family has is put to each family, here and to PEFT's rule on the model itself."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from finetune_operator.sizing.models.config_json import from_config
    from finetune_trainer.failure import Failure
    from finetune_trainer.methods import experts
    from finetune_trainer.methods.lora import targets
    from tests.finetune_operator.sizing.models.test_transformers import NEEDED

    shapes: dict[str, tuple[Architecture, Any]] = {}
    for model_type in sorted(FAMILIES.keys() - {"gpt-sw3"}):
        config = CONFIG_MAPPING[model_type](**NEEDED.get(model_type, {}))
        builder: Any = AutoModelForCausalLM
        with torch.device("meta"):
            model = builder.from_config(config)
        shapes[model_type] = from_config(json.loads(json.dumps(config.to_dict(), default=str))), model
    names = {linear.name for ours, _ in shapes.values() for linear in ours.linears} | {"w1", "nothing"}
    wrong = []
    for model_type, (ours, model) in shapes.items():
        modules, moe = dict(model.named_modules()), experts.of(model)
        for name in sorted(names):
            refused = _refused(ModelError, partial(refuse_unknown_targets, ours, [name]))
            by_trainer = _refused(Failure, partial(targets, [name], modules, head=None, architecture="", moe=moe))
            # of experts it refuses more: one half of two
            if (refused and not by_trainer) or ("is not a module of" in (by_trainer or "") and not refused):
                wrong.append((model_type, name))
    # a router that is a linear layer, where the trainer leaves all routers as they are
    assert wrong == [("phimoe", "router")]


def _refused(kind: type[Exception], check: Callable[[], object]) -> str | None:
    try:
        check()
    except kind as error:
        return str(error)
    return None
