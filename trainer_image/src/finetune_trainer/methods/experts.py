"""Mixtures of experts: their matrices are bare parameters and not layers, and PEFT reaches them in a way of its own.

transformers 5 keeps the experts of a layer in parameters of three dimensions. For the families whose experts were
linear layers once, PEFT 0.21 (utils/transformers_weight_conversion.py) takes the names of those layers for the
parameters, all-linear too, and adds the adapter to the parameter in every pass, where there is no input to drop from.
"""

from __future__ import annotations

from dataclasses import dataclass

from peft import LoraConfig
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from torch import nn
from transformers import PreTrainedModel

FORMER_NAMES = ("gate", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3")
"""What experts and routers were called when they were layers, in any family."""
PAIRS = (("gate_proj", "up_proj"), ("w1", "w3"))
"""What is one parameter now, and can't get half an adapter."""


@dataclass(frozen=True, slots=True)
class Experts:
    """What of a model is no plain layer. All are empty in dense models."""

    former: frozenset[str] = frozenset()
    """Last parts of names that PEFT takes for the experts' and the router's parameters."""
    bare: frozenset[str] = frozenset()
    """Last parts of the experts' parameters' own names, which are not modules."""
    routers: frozenset[str] = frozenset()
    """Last parts of names of routers that are linear layers, but give back more than a linear layer (Phi-3.5-MoE)."""

    def means(self, target: str) -> bool:
        """Whether PEFT takes `target` for one of the parameters."""
        return target.rpartition(".")[2] in self.former


def of(model: PreTrainedModel) -> Experts:
    """The experts of `model`, before it has adapters."""
    probe = LoraConfig(target_modules=list(FORMER_NAMES))
    convert_peft_config_for_transformers(probe, model=model, conversions=None)
    return Experts(
        former=frozenset(FORMER_NAMES).difference(probe.target_modules or ()),
        bare=frozenset(
            name
            for module in model.modules()
            if not isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
            for name, parameter in module.named_parameters(recurse=False)
            if parameter.dim() == 3
        ),
        routers=frozenset(name.rpartition(".")[2] for name, module in model.named_modules() if is_router(module)),
    )


def is_router(module: nn.Module) -> bool:
    """Whether it chooses experts, and so gives back a tuple, which no adapter can be added to."""
    return isinstance(module, nn.Linear) and "Router" in type(module).__name__
