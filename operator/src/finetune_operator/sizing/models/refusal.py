"""Models that aren't trained here, told from their config.json: the same ones that the trainer refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from finetune_api.schema import Method
from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.models.keys import ModelError

ONLY = "only causal language models (…ForCausalLM) can be trained here"

# What a configuration that names no class can still be told by.
_ENCODER_DECODERS = frozenset({"bart", "marian", "mbart", "mt5", "pegasus", "t5", "t5gemma", "umt5"})
_ENCODERS = frozenset({"albert", "bert", "deberta", "deberta-v2", "distilbert", "electra", "modernbert", "roberta"})
_IMAGES_OR_SOUND = re.compile(
    r"(?:^|[-_])(?:audio|clip|deit|dinov2|gemma3n?|llama4|llava|mistral3|mllama|omni|paligemma|siglip|smolvlm|speech"
    r"|vision|vit|vl|voxtral|wav2vec2|whisper)(?:$|[-_](?!text))"
)
_CAUSAL = ("ForCausalLM", "LMHeadModel")


def refuse_other_than_causal(config: Mapping[str, Any], where: str) -> None:
    """Raises ModelError, saying what the model is, unless it makes text from text. Any JSON object will do."""
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None
    model_type = config.get("model_type")
    known = model_type if isinstance(model_type, str) else None
    kind = name or known or "the model"
    if config.get("is_encoder_decoder") is True or known in _ENCODER_DECODERS:
        raise ModelError(f"{where}: {kind} is an encoder-decoder model; {ONLY}")
    if any(config.get(key) is not None for key in ("vision_config", "audio_config")) or _IMAGES_OR_SOUND.search(
        known or ""
    ):
        raise ModelError(f"{where}: {kind} is a model of images or sound; {ONLY}")
    if known in _ENCODERS and not (name or "").endswith(_CAUSAL):
        raise ModelError(f"{where}: {kind} is an encoder; {ONLY}")
    if name is not None and not name.endswith(_CAUSAL):
        raise ModelError(f"{where}: {name} is no causal language model; {ONLY}")


def refuse_quantized(architecture: Architecture, method: Method, source: str) -> None:
    """Raises ModelError where the method needs weights that are not there: only qlora goes on from bitsandbytes."""
    stored = architecture.stored_quantization
    if stored is None or (method == "qlora" and stored == "bitsandbytes"):
        return
    raise ModelError(
        f"spec.model.source: {source} is stored quantised ({stored}), and {method} needs the full weights; "
        "name the unquantised model"
    )
