"""The base model and its tokenizer, loaded as the settings say."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from finetune_api.contract import Outcome, TrainerConfig
from finetune_trainer.failure import Failure
from finetune_trainer.settings import Device, Settings

log = logging.getLogger(__name__)

# Tokens that vendors reserve for padding. Better than the end-of-sequence token, which a model must see as such.
_PAD_TOKENS = ("<|finetune_right_pad_id|>", "<pad>", "<|pad|>", "[PAD]", "<|PAD_TOKEN|>", "<|endoftext|>", "<unk>")


def load_tokenizer(path: Path, *, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """The tokenizer, with a padding token. No token is added: the embeddings stay as large as they are."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise _cannot_load("tokenizer", error) from error
    if tokenizer.pad_token is None:
        vocabulary = tokenizer.get_vocab()
        reserved = (token for token in _PAD_TOKENS if token in vocabulary and token != tokenizer.eos_token)
        # Labels are set by us and never derived from padding, so the end token does no harm where nothing else is.
        tokenizer.pad_token = next(reserved, tokenizer.eos_token)
    if tokenizer.pad_token is None:
        raise Failure(
            Outcome.BAD_CONFIG,
            "NoPadToken",
            "the model's tokenizer has no padding and no end-of-sequence token; set one in tokenizer_config.json",
        )
    tokenizer.padding_side = "right"
    return tokenizer


def load_config(path: Path, *, trust_remote_code: bool) -> PreTrainedConfig:
    """The model's configuration. Raises BAD_CONFIG for what is no causal language model of text alone."""
    try:
        architecture: PreTrainedConfig = AutoConfig.from_pretrained(
            path, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise _cannot_load("configuration", error) from error
    refuse_other_than_causal(architecture)
    _name_experts(architecture)
    return architecture


def _name_experts(architecture: PreTrainedConfig) -> None:
    """Give the number of experts the name that TRL's chunked loss knows it by, where the family has another (Granite).

    It becomes a second name in the class: the configuration is written as it was. A dense model of such a family has
    no load to balance, and the loss of that would fail on it.
    """
    text = architecture.get_text_config()
    if not hasattr(text, "num_local_experts"):
        return
    if not hasattr(text, "num_experts"):
        type(text).attribute_map = {**type(text).attribute_map, "num_experts": "num_local_experts"}
    if not text.num_local_experts and hasattr(text, "router_aux_loss_coef"):
        text.router_aux_loss_coef = 0.0


def refuse_other_than_causal(architecture: PreTrainedConfig) -> None:
    """Raises BAD_CONFIG, naming what the model is, unless it generates text from text."""
    names = list(architecture.architectures or [])
    kind = names[0] if names else architecture.model_type
    if architecture.is_encoder_decoder:
        raise _refused(kind, "an encoder-decoder model")
    if hasattr(architecture, "vision_config") or hasattr(architecture, "audio_config"):
        raise _refused(kind, "a model of images or sound")
    if names:
        causal = names[0].endswith(("ForCausalLM", "LMHeadModel"))
    else:
        causal = architecture.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if not causal:
        raise _refused(kind, "no causal language model")


def refuse_recurrent(architecture: PreTrainedConfig) -> None:
    """Raises BAD_CONFIG where the examples of a pack would see each other.

    transformers keeps them apart in attention alone, by their positions. Other kinds of layer (layer_types, or
    layers_block_type) carry a state along the sequence.
    """
    text = architecture.get_text_config()
    kinds = {*(getattr(text, "layer_types", None) or ()), *(getattr(text, "layers_block_type", None) or ())}
    carrying = sorted(kind for kind in kinds if kind == "linear_attention" or not kind.endswith("attention"))
    if carrying:
        raise Failure(
            Outcome.BAD_CONFIG,
            "PackingImpossible",
            f"training.packing: the model has layers of {', '.join(carrying)}, which carry a state from one example of "
            "a pack to the next; set it to false",
        )


def positions(architecture: PreTrainedConfig) -> int | None:
    """Number of positions that the model has, in tokens; None if it doesn't say."""
    stated = getattr(architecture.get_text_config(), "max_position_embeddings", None)
    return int(stated) if stated else None


def load_model(
    path: Path, architecture: PreTrainedConfig, config: TrainerConfig, settings: Settings, device: Device
) -> PreTrainedModel:
    """The base model with its weights on the device. Under qlora, quantised while it is loaded.

    What is going to be sharded stays in host memory, except where only the GPU can quantise it.
    """
    quantization = _quantization(architecture, config, settings)
    on_gpu = device.kind == "cuda" and (settings.sharded is None or config.method == "qlora")
    where: Any = {"": torch.cuda.current_device() if on_gpu else "cpu"}
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            path,
            config=architecture,
            dtype=getattr(torch, settings.weights),
            attn_implementation=settings.attention,
            quantization_config=quantization,
            device_map=where,
            trust_remote_code=config.model.trust_remote_code,
            local_files_only=True,
        )
    except (OSError, ImportError, ValueError) as error:
        raise _cannot_load("model", error) from error
    if config.method == "qlora":
        _keep_layout(model)
        _keep_arithmetic(model)
    model.config.use_cache = False
    return model


def _quantization(
    architecture: PreTrainedConfig, config: TrainerConfig, settings: Settings
) -> BitsAndBytesConfig | None:
    """NF4 with double quantisation (Dettmers et al. 2023, arXiv:2305.14314)."""
    stored = getattr(architecture, "quantization_config", None)
    if stored is not None:
        method = stored.get("quant_method") if isinstance(stored, dict) else getattr(stored, "quant_method", "")
        if config.method == "qlora" and str(getattr(method, "value", method)) == "bitsandbytes":
            return None
        raise Failure(
            Outcome.BAD_CONFIG,
            "ModelIsQuantized",
            f"{config.model.source.uri} is stored quantised ({method}), and {config.method} needs the full weights; "
            "name the unquantised model",
        )
    if config.method != "qlora":
        return None
    stored_as = settings.sharded.quant_storage if settings.sharded is not None else None
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, settings.weights),
        bnb_4bit_quant_storage=getattr(torch, stored_as) if stored_as is not None else None,
    )


def _keep_layout(model: PreTrainedModel) -> None:
    """Stop bitsandbytes from repacking 4-bit weights.

    On CPUs with AVX512-BF16 it repacks at the first forward pass in evaluation mode, and gradients are silently wrong
    from then on (their cosine to the right ones is 0.14). GPUs are not affected and the flag means nothing there.
    """
    import bitsandbytes

    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _keep_arithmetic(model: PreTrainedModel) -> None:
    """Stop bitsandbytes from computing in the type of its first input.

    Behind a LayerNorm, whose result autocast on GPUs makes fp32, all products would be in fp32 otherwise.
    """
    import bitsandbytes

    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.compute_type_is_set = True


def _refused(kind: str, what: str) -> Failure:
    return Failure(
        Outcome.BAD_CONFIG,
        "ModelUnsupported",
        f"model.source: {kind} is {what}; only causal language models (…ForCausalLM) can be trained here",
    )


def _cannot_load(what: str, error: Exception) -> Failure:
    text = str(error)
    if "trust_remote_code" in text:
        return Failure(
            Outcome.BAD_CONFIG,
            "RemoteCode",
            f"the {what} brings code of its own; read it, then set model.trustRemoteCode: true",
        )
    first = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    return Failure(Outcome.NOT_FOUND, "ModelUnreadable", f"the {what} can't be loaded from model.source: {first}")
