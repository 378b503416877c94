"""Names of modules, checked against the model before PEFT sees them."""

from __future__ import annotations

import pytest
from torch import nn

from finetune_trainer.failure import Failure
from finetune_trainer.methods.lora import saved, targets

MODULES: dict[str, nn.Module] = {
    "model": nn.Module(),
    "model.embed_tokens": nn.Embedding(2, 2),
    "model.layers.0.self_attn": nn.Module(),
    "model.layers.0.self_attn.q_proj": nn.Linear(2, 2),
    "model.layers.0.self_attn.v_proj": nn.Linear(2, 2),
    "model.layers.1.self_attn.q_proj": nn.Linear(2, 2),
    "lm_head": nn.Linear(2, 2),
}


def check(asked: list[str]) -> list[str] | str:
    return targets(asked, MODULES, head="lm_head", architecture="LlamaForCausalLM")


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (["all-linear"], "all-linear"),
        (["q_proj", "v_proj"], ["q_proj", "v_proj"]),
        (["layers.1.self_attn.q_proj"], ["layers.1.self_attn.q_proj"]),
        (["embed_tokens"], ["embed_tokens"]),
    ],
)
def test_targets(asked: list[str], given: list[str] | str) -> None:
    assert check(asked) == given


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["q_porj"], '"q_porj" is not a module of LlamaForCausalLM; it has embed_tokens, q_proj, v_proj'),
        (["self_attn"], '"self_attn" is not a module'),  # there is one, but no adapter fits it
        (["q_proj", "lm_head"], "is the output head"),
        (["all-linear", "q_proj"], "stands alone"),
    ],
)
def test_targets_refused(asked: list[str], sentence: str) -> None:
    with pytest.raises(Failure, match=sentence):
        check(asked)


def test_modules_to_save() -> None:
    assert saved(["embed_tokens"], MODULES, architecture="Llama") == ["embed_tokens"]
    with pytest.raises(Failure, match=r'adapter.modulesToSave: "embeddings" is not a module of Llama; it has embed_'):
        saved(["embeddings"], MODULES, architecture="Llama")
