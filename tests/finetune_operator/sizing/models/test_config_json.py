"""What a config.json is read as, and what is said of one that can't be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.sizing.models.config_json import from_config, read
from finetune_operator.sizing.models.families import FAMILIES
from finetune_operator.sizing.models.keys import ModelError
from finetune_operator.sizing.models.refusal import refuse_quantized
from models.generate import entries

LLAMA: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}
MIXTRAL = {
    **LLAMA,
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 32000,
}
QWEN = {**LLAMA, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
GEMMA3 = {**LLAMA, "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "sliding_window": 512}
FALCON = {
    "model_type": "falcon",
    "vocab_size": 65024,
    "hidden_size": 4544,
    "n_layer": 32,
    "n_head": 71,
    "multi_query": True,
}


def test_llama() -> None:
    it = from_config(LLAMA)
    assert (it.hidden_size, it.layers, it.attention_heads, it.key_value_heads, it.head_dim) == (4096, 32, 32, 8, 128)
    assert {linear.name: (linear.inputs, linear.outputs) for linear in it.linears} == {
        "q_proj": (4096, 4096),
        "k_proj": (4096, 1024),
        "v_proj": (4096, 1024),
        "o_proj": (4096, 4096),
        "gate_proj": (4096, 14336),
        "up_proj": (4096, 14336),
        "down_proj": (14336, 4096),
    }
    # the safetensors metadata of meta-llama/Llama-3.1-8B
    assert it.parameters == it.active_parameters == 8_030_261_248
    assert (it.max_positions, it.tied_embeddings, it.stored_quantization) == (131072, False, None)


def test_mixtral_s_experts_are_no_linear_layers() -> None:
    it = from_config(MIXTRAL)
    experts = [linear for linear in it.linears if linear.copies > 1]
    assert [(x.name, x.copies, x.active, x.module) for x in experts] == [
        ("gate_up_proj", 8, 2, False),
        ("down_proj", 8, 2, False),
    ]
    # arXiv:2401.04088, section 1: 47B, of which 13B are active
    assert (round(it.parameters / 1e9), round(it.active_parameters / 1e9)) == (47, 13)
    assert it.intermediate_size == 2 * 14336


@pytest.mark.parametrize(
    ("config", "window", "layers"),
    [
        ({**LLAMA, "sliding_window": 4096}, None, 0),  # Llama has none, whatever it says
        ({**LLAMA, "model_type": "mistral"}, 4096, 32),  # the default of Mistral
        ({**LLAMA, "model_type": "mistral", "sliding_window": None}, None, 0),
        ({**MIXTRAL, "sliding_window": 4096}, 4096, 32),
        ({**QWEN, "sliding_window": 32768, "use_sliding_window": False}, None, 0),
        ({**QWEN, "sliding_window": 32768, "use_sliding_window": True, "max_window_layers": 30}, 32768, 2),
        ({**GEMMA3, "head_dim": 256}, 512, 27),  # all but each sixth of 32
        ({**GEMMA3, "sliding_window_pattern": 2}, 512, 16),
        ({**GEMMA3, "layer_types": ["full_attention"] * 31 + ["sliding_attention"]}, 512, 1),
    ],
)
def test_window(config: Mapping[str, Any], window: int | None, layers: int) -> None:
    it = from_config(config)
    assert (it.sliding_window, it.sliding_layers) == (window, layers)


def test_names_of_old_are_known() -> None:
    it = from_config(FALCON)
    assert (it.layers, it.attention_heads, it.key_value_heads, it.parallel) == (32, 71, 1, True)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ([], "config.json: holds list; it must be a JSON object"),
        ({}, "config.json: model_type is missing"),
        ({"model_type": "internlm2"}, "model_type is 'internlm2', a family whose shape isn't known here; give the"),
        ({"model_type": "bert"}, "bert is an encoder; only causal language models"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "BertForMaskedLM is an encoder"),
        ({"model_type": "t5"}, "t5 is an encoder-decoder model; only causal"),
        (
            {"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"], "is_encoder_decoder": True},
            "WhisperForConditionalGeneration is an encoder-decoder model",
        ),
        (
            {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "text_config": dict(GEMMA3)},
            "Gemma3ForConditionalGeneration is a model of images or sound; only causal",
        ),
        ({"model_type": "new_vl", "vision_config": {}}, "new_vl is a model of images or sound"),
        ({"model_type": "qwen2_5_vl"}, "qwen2_5_vl is a model of images or sound"),
        (
            {**LLAMA, "architectures": ["LlamaForSequenceClassification"]},
            "LlamaForSequenceClassification is no causal language model",
        ),
        (
            {key: value for key, value in LLAMA.items() if key != "vocab_size"},
            "config.json: vocab_size is missing; it is needed to size the model",
        ),
        ({**LLAMA, "hidden_size": "4096"}, "hidden_size is '4096'; it must be a whole number"),
        ({**LLAMA, "hidden_size": 4096.5}, "hidden_size is 4096.5; it must be a whole number"),
        ({**LLAMA, "hidden_size": True}, "hidden_size is True; it must be a whole number"),
        ({**LLAMA, "hidden_size": -1}, "hidden_size is -1; it must be above 0"),
        ({**LLAMA, "num_hidden_layers": 0}, "num_hidden_layers is 0; it must be above 0"),
        ({**LLAMA, "num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000; no model has more than 2000"),
        (
            {**LLAMA, "num_attention_heads": 33},
            "num_key_value_heads is 8, which doesn't divide the 33 of num_attention",
        ),
        (
            {**LLAMA, "hidden_size": 4097},
            "hidden_size is 4097, which 32 heads (num_attention_heads) don't divide",
        ),
        ({**LLAMA, "tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'; it must be true or false"),
        (
            {**MIXTRAL, "num_experts_per_tok": 9},
            "num_experts_per_tok is 9; the model has 8 experts (num_local_experts)",
        ),
        ({**MIXTRAL, "num_key_value_heads": 3}, "num_key_value_heads is 3, which doesn't divide the 32"),
        ({**GEMMA3, "layer_types": ["full_attention"]}, "layer_types has 1 entries; the model has 32 layers"),
        ({**GEMMA3, "layer_types": "full"}, "layer_types is 'full'; it must be a list of strings"),
        ({**FALCON, "n_head": 70}, "hidden_size is 4544, which 70 heads (n_head) don't divide"),
        ({**LLAMA, "quantization_config": "gptq"}, "quantization_config is 'gptq'; it must be an object"),
        (
            {**LLAMA, "model_type": "gpt2", "add_cross_attention": True},
            "add_cross_attention is true, which makes a shape that isn't known here; give the model's shape in",
        ),
        (
            {**LLAMA, "model_type": "opt", "layer_norm_elementwise_affine": False},
            "layer_norm_elementwise_affine is false, which makes a shape that isn't known here",
        ),
        (
            {**LLAMA, "model_type": "opt", "ffn_dim": 4096, "word_embed_proj_dim": 512},
            "word_embed_proj_dim is 512 and hidden_size 4096; give the model's shape in spec.model.architecture",
        ),
    ],
)
def test_what_is_wrong_is_said(config: Any, said: str) -> None:
    with pytest.raises(ModelError) as error:
        from_config(config)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("stored", "method", "refused"),
    [
        (None, "full", False),
        ("bitsandbytes", "qlora", False),
        ("bitsandbytes", "lora", True),
        ("gptq", "qlora", True),
        ("mxfp4", "lora", True),
    ],
)
def test_quantised_weights(stored: str | None, method: Any, refused: bool) -> None:
    quantization = {"quantization_config": {"quant_method": stored}} if stored else {}
    it = from_config({**LLAMA, **quantization})
    assert it.stored_quantization == stored
    if not refused:
        refuse_quantized(it, method, "hf://org/model")
        return
    with pytest.raises(ModelError, match=rf"hf://org/model is stored quantised \({stored}\), and {method} needs the"):
        refuse_quantized(it, method, "hf://org/model")


def test_quantised_by_an_unnamed_method_is_quantised() -> None:
    it = from_config({**LLAMA, "quantization_config": {"bits": 4}})
    assert it.stored_quantization is not None


@pytest.mark.parametrize("name", ["config.json", "."])
def test_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    assert read(tmp_path / name) == from_config(LLAMA)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"model_type":\n  llama}', "config.json: line 2 is not JSON: Expecting value"),
        ("[1]", "config.json: holds list; it must be a JSON object"),
        ("[" * 100_000, "config.json: is nested too deep"),
        ('{"hidden_size": ' + "9" * 5000 + "}", "config.json: can't be read: "),
        ("\udcff", "config.json: can't be read: "),
        ('{"model_type": "llama"}', "config.json: hidden_size is missing"),
    ],
)
def test_file_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ModelError) as error:
        read(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert said in str(error.value)


def test_weights_are_not_read_through(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(16 << 30)
    with pytest.raises(
        ModelError, match=r"model\.safetensors: has 16,384 MiB, which no config\.json has; name a model's"
    ):
        read(tmp_path / "model.safetensors")


def test_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"{tmp_path} has no config.json; name a model's directory"):
        read(tmp_path)
    with pytest.raises(ModelError, match="nowhere: there is no such file"):
        read(tmp_path / "nowhere")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**40) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
CONFIGS = {entry.config["model_type"]: entry.config for entry in entries()}
KEYS = sorted({key for config in CONFIGS.values() for key in config} | {"layer_types", "mlp_layer_types"})


@given(model_type=st.sampled_from(sorted(FAMILIES)), others=st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_json_is_a_shape_or_a_sentence(model_type: str, others: dict[str, Any]) -> None:
    _shape_or_sentence({**CONFIGS.get(model_type, LLAMA), "model_type": model_type, **others})


@given(JSON)
def test_any_json_at_all_is_refused_in_words(value: Any) -> None:
    _shape_or_sentence(value)


def _shape_or_sentence(config: Any) -> None:
    it, said = None, ""
    try:
        it = from_config(config)
    except ModelError as error:
        said = str(error)
    if it is None:
        assert said.startswith("config.json: ")
        return
    assert it.parameters >= it.active_parameters > 0
    assert it.sliding_layers <= it.layers
    assert all(linear.matrix > 0 and linear.layers > 0 and linear.copies >= linear.active for linear in it.linears)


@given(
    layers=st.integers(1, 200),
    heads=st.sampled_from([8, 16, 32]),
    head_dim=st.integers(1, 256),
    width=st.integers(1, 100_000),
    tied=st.booleans(),
)
def test_parameters_are_what_the_matrices_say(layers: int, heads: int, head_dim: int, width: int, tied: bool) -> None:
    """Llama's arithmetic, written down once more."""
    hidden = 512
    it = from_config(
        {
            **LLAMA,
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "head_dim": head_dim,
            "intermediate_size": width,
            "tie_word_embeddings": tied,
        }
    )
    attention = 2 * hidden * heads * head_dim + 2 * hidden * 8 * head_dim
    layer = attention + 3 * hidden * width + 2 * hidden
    assert it.parameters == layers * layer + hidden + (1 if tied else 2) * 128256 * hidden
