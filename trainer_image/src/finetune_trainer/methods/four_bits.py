"""How much of a model under QLoRA is in 4 bits."""

from __future__ import annotations

import math

from torch import nn


def share(model: nn.Module) -> float:
    """Of the base model's parameters, those that bitsandbytes has quantised: 0 to 1.

    It replaces linear layers alone (transformers 5.23, integrations/bitsandbytes.py): not embeddings, not the head,
    and not experts, which are bare parameters.
    """
    from bitsandbytes.nn import Params4bit

    quantised = rest = 0
    for parameter in model.parameters():
        if isinstance(parameter, Params4bit) and parameter.quant_state is not None:
            quantised += math.prod(parameter.quant_state.shape)
        else:
            rest += parameter.numel()
    return quantised / (quantised + rest)
