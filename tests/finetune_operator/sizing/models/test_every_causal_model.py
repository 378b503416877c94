"""Every model_type that transformers makes a causal language model of is read exactly, or refused in a sentence."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.models.config_json import from_config, read
from finetune_operator.sizing.models.families import FAMILIES
from finetune_operator.sizing.models.keys import ModelError
from tests.finetune_operator.sizing.models.test_transformers import NEEDED

pytestmark = pytest.mark.train

ENCODER_DECODER = "is an encoder-decoder model; only causal"
IMAGES = "is a model of images or sound; only causal"
NO_CAUSAL = "is no causal language model; only causal"
UNKNOWN = "a family whose shape isn't known here; give the model's shape in spec.model.architecture"
REFUSED: Mapping[str, str] = {
    ENCODER_DECODER: """
        bart bigbird_pegasus blenderbot blenderbot-small marian mbart musicgen musicgen_melody mvp pegasus plbart
        prophetnet whisper""",
    IMAGES: """
        dots3_note gemma3 gemma3n git got_ocr2 llama4 mllama moss_transcribe_diarize phi4_multimodal qwen3_5
        qwen3_5_moe qwen4_exp""",
    NO_CAUSAL: "bert-generation gemma4 gemma4_unified reformer",
    UNKNOWN: """
        afmoe aria_text axk1 axk2 bailing_hybrid bamba beam bert big_bird biogpt bitnet blt camembert cohere2_moe
        cohere_compass_text cpmant ctrl cwm data2vec-text dbrx deepseek_v32 deepseek_v4 diffllama doge dots1
        dots3_note_text electra emu3 ernie exaone_moe falcon_h1 falcon_mamba flint fuyu gemma3n_text gemma4_assistant
        gemma4_text gemma4_unified_assistant gemma4_unified_text glm_moe_dsa gpt_neox_japanese granite_swa
        granitemoe_swa hrm_text hunyuan_v1_moe hy_v3 hy_v4 hyperclovax inkling2_text inkling_text iquestcoder jais2
        jamba jetmoe kimi_linear kolibri1 laguna lfm2_moe lfm3 llama4_text longcat_flash mamba mamba2
        megatron-bert mellum mimo_v2_flash minicpm3 minimax_m3_vl_text modernbert-decoder moshi nanochat nemotron_h
        olmo_hybrid openai-gpt persimmon qwen4_exp_text recurrent_gemma rembert roberta roberta-prelayernorm roc_bert
        roformer rwkv solar_open trocr vaultgemma xglm xlm xlm-roberta xlm-roberta-xl xlnet xlstm xmod youtu zamba
        zamba2 zaya""",
}
"""What of the message, and of which model_type."""


def test_each_is_exact_or_refused(tmp_path: Path) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES

    refused: defaultdict[str, set[str]] = defaultdict(set)
    for model_type, classes in NAMES.items():
        config = _default(model_type, classes if isinstance(classes, str) else classes[0], tmp_path)
        trains = _trainer_trains(config)
        read_as = _read(tmp_path)
        if isinstance(read_as, str):
            reason = next((reason for reason in REFUSED if reason in read_as), read_as)
            refused[reason].add(model_type)
            # it may refuse what could be trained, as not known, and nothing else
            assert (model_type, trains) == (model_type, reason == UNKNOWN)
        else:
            assert (model_type, trains, read_as.parameters) == (model_type, True, _parameters(config))
            assert (model_type, _trainer_packs(config)) == (model_type, not read_as.recurrent)
    assert refused == {reason: set(names.split()) for reason, names in REFUSED.items()}


def test_a_key_that_is_left_out_has_transformers_default() -> None:
    """A config.json may leave out what is its class's default: then it is read as if it were there, or refused."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    compared, wrong = 0, []
    for model_type in sorted(FAMILIES):
        needed = NEEDED.get(model_type, {})
        whole = json.loads(json.dumps(CONFIG_MAPPING[model_type](**needed).to_dict(), default=str))
        whole = {key: value for key, value in whole.items() if key != "architectures"}
        expected = from_config(whole)
        # without the last one it is not known how long a sequence may be, which is no part of the shape
        for key in whole.keys() - needed.keys() - {"model_type", *MOST_POSITIONS}:
            try:
                ours = from_config({other: value for other, value in whole.items() if other != key})
            except ModelError:
                continue
            compared += 1
            if ours != expected:
                wrong.append((model_type, key))
    assert wrong == []
    assert compared > 1000


MOST_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")


def _read(folder: Path) -> Architecture | str:
    try:
        return read(folder)
    except ModelError as error:
        return str(error)


def _default(model_type: str, name: str, folder: Path) -> Any:
    """The configuration of a class without anything said; its config.json is written."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[model_type](**NEEDED.get(model_type, {}))
    config.architectures = [name]
    config.save_pretrained(folder)
    return config


def _trainer_trains(config: Any) -> bool:
    from finetune_trainer.failure import Failure
    from finetune_trainer.model import refuse_other_than_causal

    try:
        refuse_other_than_causal(config)
    except Failure:
        return False
    return True


def _trainer_packs(config: Any) -> bool:
    from finetune_trainer.failure import Failure
    from finetune_trainer.model import refuse_recurrent

    try:
        refuse_recurrent(config)
    except Failure:
        return False
    return True


def _parameters(config: Any) -> int:
    import torch
    from transformers import AutoModelForCausalLM

    builder: Any = AutoModelForCausalLM
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in builder.from_config(config).parameters())
