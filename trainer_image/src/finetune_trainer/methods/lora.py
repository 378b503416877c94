"""A low-rank adapter beside frozen weights (Hu et al. 2021, arXiv:2106.09685), quantised or not."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from finetune_api.contract import AdapterConfig, Outcome, TrainerConfig
from finetune_trainer.failure import Failure
from finetune_trainer.methods import experts
from finetune_trainer.methods.experts import Experts

log = logging.getLogger(__name__)

ALL_LINEAR = "all-linear"
DROPOUT = 0.05
"""Where it is left open and can be; spec.adapter.dropout promises it."""


def trainable(model: PreTrainedModel, config: TrainerConfig) -> Any:
    """`model` frozen and wrapped in a PeftModel with a new adapter. Raises BAD_CONFIG for modules it hasn't."""
    adapter = config.adapter
    if adapter is None:
        raise Failure(Outcome.BAD_CONFIG, "NoAdapter", f"the configuration has method {config.method} but no adapter")
    wanted = adapter_config(adapter, model)
    if adapts_experts(adapter, experts.of(model)):
        log.info("the experts' own parameters get an adapter; dropout is 0")
        if left := without_adapter(adapter, model):
            log.warning("no adapter beside %s: PEFT takes these names for the experts alone", ", ".join(left))
    return get_peft_model(model, wanted)


def adapter_config(adapter: AdapterConfig, model: PreTrainedModel) -> Any:
    """PEFT's configuration of `adapter`, its module names checked against `model`."""
    modules = dict(model.named_modules())
    output = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    head = next((name for name, module in modules.items() if module is output), None)
    architecture = type(model).__name__
    moe = experts.of(model)
    found = targets(adapter.target_modules, modules, head=head, architecture=architecture, moe=moe)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=dropout_of(adapter, model),
        target_modules=found,
        exclude_modules=sorted(moe.routers) or None,
        modules_to_save=saved(adapter.modules_to_save, modules, architecture=architecture) or None,
        bias="none",
    )


def dropout_of(adapter: AdapterConfig, model: PreTrainedModel) -> float:
    """The dropout on the adapter's input: what is asked for, else 0.05, or 0 where experts get an adapter.

    Raises BAD_CONFIG for one that PEFT can't have: it adds an adapter of experts to their weights (ParamWrapper), so
    that there is no input to drop from.
    """
    on_experts = adapts_experts(adapter, experts.of(model))
    if on_experts and adapter.dropout:
        raise Failure(
            Outcome.BAD_CONFIG,
            "DropoutOnExperts",
            f"spec.adapter.dropout: {adapter.dropout:g} can't be, because the experts of {type(model).__name__} get an "
            "adapter, which is added to their weights; set it to 0 or leave it out, or name attention's layers alone "
            "in spec.adapter.targetModules",
        )
    if adapter.dropout is not None:
        return adapter.dropout
    return 0.0 if on_experts else DROPOUT


def adapts_experts(adapter: AdapterConfig, moe: Experts) -> bool:
    """Whether PEFT puts an adapter beside the experts' or the router's own parameters."""
    asked = adapter.target_modules
    return bool(moe.former) if asked == [ALL_LINEAR] else any(moe.means(target) for target in asked)


def without_adapter(adapter: AdapterConfig, model: PreTrainedModel) -> list[str]:
    """Names, without the layers' numbers, of linear layers that are asked for and get no adapter.

    They are dense layers and experts for all tokens whose names PEFT takes for the experts' parameters.
    """
    moe, asked = experts.of(model), adapter.target_modules
    names = (name for name, module in model.named_modules() if isinstance(module, nn.Linear) and moe.means(name))
    meant = (name for name in names if asked == [ALL_LINEAR] or name.rpartition(".")[2] in asked)
    return sorted({".".join(name.split(".")[-2:]) for name in meant})


def targets(
    asked: list[str],
    modules: Mapping[str, nn.Module],
    *,
    head: str | None,
    architecture: str,
    moe: Experts = Experts(),  # noqa: B008 - frozen
) -> list[str] | str:
    """What PEFT takes as target_modules."""
    if asked == [ALL_LINEAR]:
        return ALL_LINEAR
    fitting = {
        name
        for name, module in modules.items()
        if isinstance(module, (nn.Linear, nn.Embedding, Conv1D)) and not experts.is_router(module)
    }
    offer = ", ".join(sorted({*_last_names(name for name in fitting if name != head), *moe.former}))
    for target in asked:
        if target == ALL_LINEAR:
            raise _bad_module("targetModules", f'"{ALL_LINEAR}" stands alone: it means every linear layer already')
        found = [name for name in modules if _matches(name, target)]
        if head is not None and head in found:
            raise _bad_module(
                "targetModules",
                f'"{target}" is the output head, which an adapter would not train; put it into modulesToSave',
            )
        if moe.means(target):
            _check_expert(target, asked)
        elif target.rpartition(".")[2] in moe.bare:
            raise _bad_module(
                "targetModules", f'"{target}" is a parameter of experts and not a module; name some of {offer}'
            )
        elif not fitting.intersection(found):
            raise _bad_module("targetModules", f'"{target}" is not a module of {architecture}; it has {offer}')
    return list(asked)


def _check_expert(target: str, asked: list[str]) -> None:
    if "." in target:
        last = target.rpartition(".")[2]
        raise _bad_module(
            "targetModules",
            f'"{target}" can\'t be named alone: PEFT takes it for the experts of every layer; write "{last}" for those',
        )
    for pair in experts.PAIRS:
        if target in pair and not set(pair) <= set(asked):
            raise _bad_module(
                "targetModules",
                f'"{target}" is one parameter with its other half in every expert; name both, {" and ".join(pair)}',
            )


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
