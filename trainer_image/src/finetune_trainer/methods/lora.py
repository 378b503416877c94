"""A low-rank adapter beside frozen weights (Hu et al. 2021, arXiv:2106.09685), quantised or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from finetune_api.contract import AdapterConfig, Outcome, TrainerConfig
from finetune_trainer.failure import Failure

ALL_LINEAR = "all-linear"


def trainable(model: PreTrainedModel, config: TrainerConfig) -> Any:
    """`model` frozen and wrapped in a PeftModel with a new adapter. Raises BAD_CONFIG for modules it hasn't."""
    adapter = config.adapter
    if adapter is None:
        raise Failure(Outcome.BAD_CONFIG, "NoAdapter", f"the configuration has method {config.method} but no adapter")
    return get_peft_model(model, adapter_config(adapter, model))


def adapter_config(adapter: AdapterConfig, model: PreTrainedModel) -> Any:
    """PEFT's configuration of `adapter`, its module names checked against `model`."""
    modules = dict(model.named_modules())
    output = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    head = next((name for name, module in modules.items() if module is output), None)
    architecture = type(model).__name__
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=targets(adapter.target_modules, modules, head=head, architecture=architecture),
        modules_to_save=saved(adapter.modules_to_save, modules, architecture=architecture) or None,
        bias="none",
    )


def targets(
    asked: list[str], modules: Mapping[str, nn.Module], *, head: str | None, architecture: str
) -> list[str] | str:
    """What PEFT takes as target_modules."""
    if asked == [ALL_LINEAR]:
        return ALL_LINEAR
    fitting = {name for name, module in modules.items() if isinstance(module, (nn.Linear, nn.Embedding, Conv1D))}
    for target in asked:
        if target == ALL_LINEAR:
            raise _bad_module("targetModules", f'"{ALL_LINEAR}" stands alone: it means every linear layer already')
        found = [name for name in modules if _matches(name, target)]
        if head is not None and head in found:
            raise _bad_module(
                "targetModules",
                f'"{target}" is the output head, which an adapter would not train; put it into modulesToSave',
            )
        if not fitting.intersection(found):
            offer = ", ".join(_last_names(name for name in fitting if name != head))
            raise _bad_module("targetModules", f'"{target}" is not a module of {architecture}; it has {offer}')
    return list(asked)


def saved(asked: list[str], modules: Mapping[str, nn.Module], *, architecture: str) -> list[str]:
    """What PEFT takes as modules_to_save."""
    for name in asked:
        if not any(_matches(module, name) for module in modules):
            offer = ", ".join(_last_names(module for module in modules if module))
            raise _bad_module("modulesToSave", f'"{name}" is not a module of {architecture}; it has {offer}')
    return list(asked)


def _matches(module: str, asked: str) -> bool:
    """As PEFT matches lists: the whole name, or its end after a dot."""
    return module == asked or module.endswith(f".{asked}")


def _last_names(modules: Iterable[str]) -> list[str]:
    """The last parts of the names, each once, without the numbers of layers."""
    return sorted({last for last in (name.rpartition(".")[2] for name in modules) if not last.isdigit()})


def _bad_module(field: str, text: str) -> Failure:
    return Failure(Outcome.BAD_CONFIG, "UnknownModule", f"spec.adapter.{field}: {text}")
