"""The peak memory of a training step, measured where there is no memory: real models of fake tensors.

transformers builds the architecture, PEFT the adapters, TRL the loss, and our trainer's settings decide the rest; torch
computes shapes alone, and every storage is counted from its making to its end. What stands in for something:

- Linear4bit: bitsandbytes has no kernel for fake tensors. A layer that holds as many bytes, makes a whole matrix for
  each product and forgets it, as bitsandbytes 0.50 does.
- TRL's tiles of logits, which a GPU's kernel changes in place: here nothing happens to them.
- Attention without a mask, as under flash attention; the CPU's kernel keeps what that keeps. Its dropout is left out:
  a GPU's kernel draws it again.
- Autocast in fp32 of LayerNorm and torch.pow, which are on its list for GPUs and not on that for CPUs.
- Dropout by torch.native_dropout, the GPU's, whose mask has one byte an element.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import trl.kernels.chunked_logprob as tiles
from peft import LoraConfig, get_peft_model
from peft.tuners import lora
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig
from transformers.pytorch_utils import Conv1D
from trl.trainer.utils import add_fused_lm_head

from finetune_operator.sizing.memory import precision
from finetune_operator.sizing.memory.weights import BYTES
from finetune_operator.sizing.setup import Setup
from finetune_trainer.optimizer import StochasticAdamW

TYPES = {precision.HALF: torch.bfloat16, precision.FP32: torch.float32}


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages that are alive, and the most at a time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.backward = False
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, tensor: torch.Tensor) -> None:
        """Count what the tensor stands on, once."""
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            self._seen.add(storage)
            self.now += storage.nbytes()
            weakref.finalize(storage, self._gone, storage.nbytes())

    def _gone(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.peak = max(self.peak, self.now)
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor):
                self.add(each)
        # Autograd sums gradients in place, but never while it is watched: the first summand is gone at the next look.
        if not (self.backward and not torch.is_grad_enabled() and func is torch.ops.aten.add.Tensor):
            self.peak = max(self.peak, self.now)
        return result


class Linear4bit(nn.Linear):
    """Stands in for bitsandbytes': a quarter of the bytes, and a whole matrix for as long as a product takes."""

    def __init__(self, like: nn.Linear | Conv1D) -> None:
        inputs, outputs = like.weight.shape if isinstance(like, Conv1D) else like.weight.shape[::-1]
        super().__init__(inputs, outputs, bias=like.bias is not None, dtype=like.weight.dtype)
        packed = torch.empty(round(like.weight.numel() * BYTES["nf4-dq"]), dtype=torch.uint8, device="meta")
        self.weight = nn.Parameter(packed, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the parent does. The result has the type of what came in."""
        result: torch.Tensor = _Product.apply(x.to(torch.bfloat16), self.out_features)
        return (result if self.bias is None else result + self.bias).to(x.dtype)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, outputs: int) -> torch.Tensor:
        ctx.shape = (outputs, x.shape[-1])
        return x @ torch.empty(ctx.shape, dtype=x.dtype).t()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] @ torch.empty(ctx.shape, dtype=gradients[0].dtype), None


@dataclass(frozen=True, slots=True)
class Simulated:
    """Bytes of one training step."""

    peak: int
    static: int
    """Of weights, adapters and the optimizer's states: what is there between steps."""


def simulate(config: Mapping[str, Any], setup: Setup) -> Simulated:
    """A step of the run that is not its first: the optimizer's states are there."""
    made = AutoConfig.for_model(**config)
    with _stand_ins(made):
        model = _on_meta(made, setup)
        with FakeTensorMode(allow_non_fake_inputs=True):
            _materialise(model)
            return _steps(model, setup)


def _on_meta(made: PretrainedConfig, setup: Setup) -> Any:
    made._attn_implementation = "eager" if setup.kernel == "eager" else "sdpa"
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(made, dtype=TYPES[precision.weight(setup)])  # type: ignore[no-untyped-call]
        if setup.method == "qlora":
            _quantise(model)
    if setup.engine.loss_kernel == "chunked":
        add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    if setup.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if setup.method == "full":
        return model.requires_grad_(True).train()
    model.enable_input_require_grads()
    targets = list(setup.target_modules)
    adapted = get_peft_model(
        model,
        LoraConfig(
            r=setup.rank,
            lora_dropout=setup.dropout,
            target_modules="all-linear" if targets == ["all-linear"] else targets,
            modules_to_save=list(setup.modules_to_save) or None,
            task_type="CAUSAL_LM",
        ),
        low_cpu_mem_usage=True,
    )
    for module in adapted.modules():
        # as PEFT chooses for bitsandbytes' own
        if isinstance(module, lora.Linear) and isinstance(module.base_layer, Linear4bit):
            module.__class__ = lora.bnb.Linear4bit
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(TYPES[precision.trained(setup)])
    return adapted.train()


def _quantise(model: nn.Module) -> None:
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if (type(child) is nn.Linear or isinstance(child, Conv1D)) and name not in ("lm_head", "embed_out"):
                setattr(module, name, Linear4bit(child))


def _materialise(model: nn.Module) -> None:
    """Fake tensors on a CPU in place of those without a device, each shared one once."""
    # by identity, for which the old ones must stay
    made: dict[int, tuple[nn.Parameter, nn.Parameter]] = {}
    for module in model.modules():
        for name, old in list(module._parameters.items()):
            if old is not None:
                new = nn.Parameter(torch.empty(old.shape, dtype=old.dtype), requires_grad=old.requires_grad)
                module._parameters[name] = made.setdefault(id(old), (old, new))[1]
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


def _steps(model: Any, setup: Setup) -> Simulated:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    ours = setup.method == "full" and precision.trained(setup) == precision.HALF
    optimizer = StochasticAdamW(trained, lr=1e-4) if ours else torch.optim.AdamW(trained, fused=True)
    tokens = torch.zeros(setup.micro_batch_size, setup.sequence_length, dtype=torch.long)
    fused = {"fused_lm_head": True} if setup.engine.loss_kernel == "chunked" else {}
    live = Live()
    for tensor in (*model.parameters(), *model.buffers()):
        live.add(tensor)
    with live:
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        optimizer.zero_grad()
        live.peak = static = live.now
        for _ in range(setup.accumulation):
            with torch.autocast("cpu", torch.bfloat16, enabled=setup.precision != "fp32"):
                loss = model(input_ids=tokens, labels=tokens, use_cache=False, **fused).loss
            live.backward = True
            loss.backward()
            live.backward = False
            del loss
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return Simulated(peak=live.peak, static=static)


@contextmanager
def _stand_ins(made: PretrainedConfig) -> Iterator[None]:
    def dropout(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        return torch.native_dropout(x, p, True)[0] if training and p else x

    def in_fp32(function: Any) -> Any:
        def computed(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            result: torch.Tensor = function(x.float() if torch.is_autocast_enabled() else x, *args, **kwargs)
            return result

        return computed

    def add_product(total: torch.Tensor, _a: torch.Tensor, _b: torch.Tensor) -> None:
        total.add_(0)

    # no Mock, which would remember the tensors that it was called with
    def nothing(*_args: Any, **_kwargs: Any) -> None:
        return None

    is_enabled = torch.is_autocast_enabled

    # PEFT asks without a device, and means the GPU
    def enabled(device: str = "cpu") -> bool:
        return is_enabled(device)

    attend = nn.functional.scaled_dot_product_attention

    def attention(*args: Any, **kwargs: Any) -> torch.Tensor:
        return attend(*args, **{**kwargs, "dropout_p": 0.0})

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(nn.functional, "dropout", dropout))
        stack.enter_context(mock.patch.object(nn.functional, "scaled_dot_product_attention", attention))
        stack.enter_context(mock.patch.object(nn.functional, "layer_norm", in_fp32(nn.functional.layer_norm)))
        stack.enter_context(mock.patch.object(torch, "is_autocast_enabled", enabled))
        stack.enter_context(mock.patch.object(torch, "pow", in_fp32(torch.pow)))
        for name in ("_forward_tile", "_backward_tile"):
            stack.enter_context(mock.patch.object(tiles, name, nothing))
        stack.enter_context(mock.patch.object(tiles, "_addmm_fp32", add_product))
        module = sys.modules[AutoModelForCausalLM._model_mapping[type(made)].__module__]
        for mask in ("create_causal_mask", "create_sliding_window_causal_mask"):
            if hasattr(module, mask):
                stack.enter_context(mock.patch.object(module, mask, nothing))
        yield
