"""The prediction beside the simulated peak of real architectures on fake tensors."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_operator.sizing.memory import predict
from finetune_operator.sizing.setup import Engine, Setup
from tests.finetune_operator.sizing.memory.shapes import CONFIGS, architecture

pytestmark = pytest.mark.train
TOLERANCE = 0.03
EAGER = Engine(loss_kernel="eager")


@pytest.mark.parametrize(
    ("model", "method", "batch", "tokens", "checkpointing", "more"),
    [
        ("llama-8b", "full", 1, 2048, True, {}),
        ("llama-8b", "full", 2, 4096, True, {"accumulation": 2}),
        ("llama-8b", "lora", 1, 8192, True, {}),
        ("llama-8b", "lora", 1, 4096, True, {"engine": EAGER}),
        ("llama-8b", "lora", 4, 2048, True, {"dropout": 0.0}),
        ("llama-8b", "qlora", 1, 512, True, {}),
        ("llama-8b", "qlora", 1, 2048, False, {}),
        ("llama-1b", "full", 1, 2048, True, {}),
        ("llama-1b", "full", 4, 2048, False, {}),
        ("llama-1b", "full", 1, 2048, True, {"engine": EAGER}),
        ("llama-1b", "full", 2, 4096, False, {"engine": EAGER}),
        ("llama-1b", "lora", 8, 2048, True, {}),
        ("llama-1b", "qlora", 2, 4096, True, {}),
        ("llama-1b", "qlora", 2, 4096, False, {"engine": EAGER}),
        ("danube", "full", 2, 4096, False, {}),
        ("danube", "lora", 2, 4096, True, {}),
        ("danube", "lora", 2, 4096, False, {"dropout": 0.0}),
        ("danube", "qlora", 4, 2048, True, {}),
        ("gemma3", "full", 2, 4096, False, {}),
        ("gemma3", "lora", 4, 2048, True, {}),
        ("gemma3", "lora", 2, 4096, False, {"engine": EAGER}),
        ("gemma3", "qlora", 4, 4096, True, {}),
        ("gemma2", "lora", 2, 2048, True, {"kernel": "eager"}),
        ("llama-1b", "full", 2, 2048, False, {"engine": Engine(master_weights=True)}),
        ("llama-1b", "full", 2, 2048, True, {"precision": "fp32"}),
        ("danube", "lora", 2, 2048, True, {"dropout": 0.0, "modules_to_save": ("embed_tokens", "lm_head")}),
        ("danube", "lora", 2, 2048, False, {"engine": Engine(adapter_precision="bf16", optimizer_precision="bf16")}),
        ("llama-1b", "qlora", 2, 2048, False, {"dropout": 0.0}),
        ("llama-1b", "qlora", 4, 2048, True, {}),
        ("qwen3", "full", 1, 2048, True, {}),
        ("qwen3", "lora", 2, 2048, False, {}),
        ("qwen3", "qlora", 4, 2048, True, {}),
        ("phi3", "lora", 4, 2048, True, {}),
        ("phi3", "qlora", 2, 2048, False, {"dropout": 0.0}),
        ("gpt2", "full", 2, 1024, False, {}),
        ("gpt2", "lora", 4, 1024, True, {}),
        ("gpt2", "qlora", 2, 1024, False, {}),
        ("opt", "full", 1, 2048, False, {}),
        ("opt", "lora", 2, 2048, False, {}),
        ("pythia", "full", 2, 2048, False, {}),
        ("pythia", "lora", 4, 2048, True, {}),
        ("pythia", "qlora", 4, 2048, True, {}),
        ("phi", "full", 2, 2048, False, {}),
        ("phi", "lora", 2, 2048, False, {"engine": EAGER}),
        ("phi", "qlora", 2, 2048, False, {"dropout": 0.0}),
        ("falcon", "full", 1, 2048, True, {}),
        ("falcon", "lora", 4, 2048, True, {}),
        ("falcon", "qlora", 2, 2048, True, {}),
        ("starcoder2", "full", 2, 2048, False, {}),
        ("starcoder2", "lora", 2, 4096, True, {}),
        ("starcoder2", "qlora", 2, 4096, False, {}),
        ("qwen3-moe", "full", 1, 2048, True, {}),
        ("qwen3-moe", "lora", 1, 4096, True, {"dropout": 0.0}),
        ("qwen3-moe", "lora", 1, 4096, False, {"target_modules": ("q_proj", "k_proj", "v_proj", "o_proj")}),
        ("qwen3-moe", "qlora", 1, 4096, True, {"target_modules": ("q_proj", "v_proj")}),
        # fewer tokens than elsewhere: the delta rule's chunks are simulated one by one
        ("qwen3.5", "full", 8, 512, False, {}),
        ("qwen3.5", "full", 8, 512, False, {"precision": "fp32"}),
        ("qwen3.5", "lora", 8, 512, True, {}),
        ("qwen3.5", "qlora", 8, 512, False, {"dropout": 0.0}),
        ("qwen3-next", "lora", 8, 512, True, {"target_modules": ("q_proj", "in_proj_qkvz", "out_proj")}),
        ("qwen3-next", "lora", 8, 512, False, {"target_modules": ("q_proj", "in_proj_qkvz", "out_proj")}),
    ],
)
def test_the_prediction_is_the_simulated_peak(
    model: str, method: Any, batch: int, tokens: int, checkpointing: bool, more: dict[str, Any]
) -> None:
    from tests.finetune_operator.sizing.memory.oracle import simulate

    settings = {"packed": False, "kernel": "flash", **more}
    setup = Setup(architecture(model), method, batch, tokens, checkpointing, **settings)
    predicted = predict(setup)
    # of a process and its allocator, which a simulation has none of
    torch_sees = predicted.total - predicted.terms["context"] - predicted.terms["fragmentation"]

    simulated = simulate(CONFIGS[model], setup)

    assert torch_sees == pytest.approx(simulated.peak, rel=TOLERANCE), dict(predicted.terms)
