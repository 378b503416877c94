"""spec.model.architecture as a shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.spec.model import Architecture as Given
from finetune_operator.sizing.models.catalogue import lookup
from finetune_operator.sizing.models.keys import ModelError
from finetune_operator.sizing.models.spec import from_spec

LLAMA: dict[str, Any] = {
    "parameters": 8_030_261_248,
    "hiddenSize": 4096,
    "layers": 32,
    "intermediateSize": 14336,
    "attentionHeads": 32,
    "keyValueHeads": 8,
    "vocabularySize": 128256,
}


def _shape(**changes: Any) -> Any:
    return from_spec(Given.model_validate({**LLAMA, **changes}))


@pytest.mark.parametrize(
    "source",
    [
        "hf://meta-llama/Llama-3.1-8B",
        "hf://meta-llama/Llama-3.2-1B",
        "hf://mistralai/Mistral-Nemo-Base-2407",
        "hf://Qwen/Qwen3-8B",
        "hf://Qwen/Qwen3-30B-A3B",
        "hf://mistralai/Mixtral-8x7B-v0.1",
        "hf://microsoft/phi-1_5",
        "hf://EleutherAI/pythia-1.4b",
        "hf://openai/gpt-oss-20b",
    ],
)
def test_a_known_model_described_is_that_model(source: str) -> None:
    """The figures of a card make the shape that config.json makes, but for names, biases and small norms."""
    known = lookup(source)
    assert known is not None
    experts = next((linear for linear in known.linears if linear.copies > 1), None)
    described = from_spec(
        Given(
            parameters=known.parameters,
            active_parameters=known.active_parameters if experts else None,
            hidden_size=known.hidden_size,
            layers=known.layers,
            intermediate_size=known.intermediate_size // (experts.active if experts else 1),
            attention_heads=known.attention_heads,
            key_value_heads=known.key_value_heads,
            head_dim=known.head_dim,
            vocabulary_size=known.vocabulary_size,
            tied_embeddings=known.tied_embeddings,
        )
    )
    assert described.model_type == "custom"
    assert described.parameters == known.parameters
    assert described.active_parameters == pytest.approx(known.active_parameters, rel=0.01)
    assert described.linear_parameters == known.linear_parameters
    assert (described.intermediate_size, described.gated) == (known.intermediate_size, known.gated)
    if experts:
        copies = {(linear.copies, linear.active) for linear in described.linears if linear.copies > 1}
        assert copies == {(experts.copies, experts.active)}


def test_what_the_shape_does_not_explain_is_counted() -> None:
    it = _shape(parameters=9_000_000_000)
    assert it.parameters == 9_000_000_000
    assert it.linear_parameters == _shape().linear_parameters


def test_a_rounded_figure_will_do() -> None:
    it = _shape(parameters=8_000_000_000)
    assert it.linear_parameters == _shape().linear_parameters
    assert it.parameters == 8_030_261_248


def test_left_out_heads_are_as_many_as_query_heads() -> None:
    it = _shape(keyValueHeads=None, parameters=9_000_000_000)
    assert (it.key_value_heads, it.head_dim) == (32, 128)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parameters": 7_000_000_000}, "architecture.parameters: is 7 billion, but the shape has 8.03 billion"),
        ({"parameters": 8_000_000}, "architecture.parameters: is 0.008 billion, but the shape has 8.03 billion"),
        ({"attentionHeads": 36}, "architecture.keyValueHeads: 8 doesn't divide attentionHeads, 36"),
        (
            {"attentionHeads": 24},
            "architecture.attentionHeads: 24 doesn't divide hiddenSize, 4096; correct one of them",
        ),
        ({"activeParameters": 9_000_000_000}, "activeParameters: 9000000000 is more than parameters, 8030261248"),
        (
            {"parameters": 46_000_000_000, "activeParameters": 1_000_000_000},
            "activeParameters: is 1 billion, but the shape with one expert has 8.03 billion",
        ),
    ],
)
def test_contradictions_are_told_with_their_numbers(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError) as error:
        _shape(**changes)
    assert said in str(error.value)


SIZES = st.integers(1, 2**14)
DESCRIPTIONS = st.fixed_dictionaries(
    {
        "parameters": st.integers(1, 10**12),
        "activeParameters": st.none() | st.integers(1, 10**12),
        "hiddenSize": SIZES,
        "layers": st.integers(1, 200),
        "intermediateSize": SIZES,
        "attentionHeads": st.integers(1, 128),
        "keyValueHeads": st.none() | st.sampled_from([1, 2, 8]),
        "headDim": st.none() | st.integers(1, 512),
        "vocabularySize": st.integers(1, 300_000),
        "tiedEmbeddings": st.booleans(),
    }
)


@given(DESCRIPTIONS)
def test_any_description_is_a_shape_of_that_size_or_a_sentence(written: dict[str, Any]) -> None:
    described = Given.model_validate(written)
    it, said = None, ""
    try:
        it = from_spec(described)
    except ModelError as error:
        said = str(error)
    if it is None:
        assert said.startswith("spec.model.architecture.")
        return
    # never fewer than said; more only within a rounded figure, and the router that nobody counts
    routers = sum(linear.weights for linear in it.linears if linear.part == "router")
    assert described.parameters <= it.parameters <= described.parameters / 0.9 + routers + 1
    assert 0 < it.active_parameters <= it.parameters
