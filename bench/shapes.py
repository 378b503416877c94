"""From a published row's shape to the Architecture that the memory model takes.

The names of the matrices are those of the code that was measured, since adapters are put on them by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.points import Shape
from finetune_operator.sizing.architecture import Architecture, Linear


@dataclass(frozen=True, slots=True)
class Family:
    """What the columns of the file do not say of an architecture."""

    query_key_value: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    """One name: they are one matrix."""
    output: str = "o_proj"
    gate_up: tuple[str, ...] = ("gate_proj", "up_proj")
    down: str = "down_proj"
    gated: bool = True
    biases: bool = False
    parallel: bool = False
    norms: int = 2
    softcap: bool = False
    window: int | None = None


LLAMA = Family()
QWEN = Family(query_key_value=("c_attn",), output="c_proj", gate_up=("w1", "w2"), down="c_proj")
"""Its modeling_qwen.py; the first of the line, whose code came with the weights."""
NEOX = Family(gate_up=("up_proj",), gated=False, biases=True, parallel=True)
PHI = Family(gate_up=("up_proj",), gated=False, biases=True, parallel=True, norms=1)
"""Attention and feed-forward layer share one norm. LitGPT's shared_attention_norm."""
GEMMA2 = Family(norms=4, softcap=True, window=4096)
FUSED = Family(query_key_value=("query_key_value",))

# By how the model's name begins; the first that fits.
FAMILIES = {
    "Qwen-": QWEN,
    "phi-1.5": PHI,
    "phi-2": PHI,
    "StableLM-Alpha": NEOX,
    "Falcon": PHI,
    "Gemma-2-": GEMMA2,
    "ChatGLM3": FUSED,
    "Baichuan2": Family(query_key_value=("W_pack",)),
}


def architecture(model: str, shape: Shape) -> Architecture:
    """The Architecture of a row."""
    family = next((each for start, each in FAMILIES.items() if model.startswith(start)), LLAMA)
    query, key_value = shape.heads * shape.head_dim, shape.key_value_heads * shape.head_dim
    apart = (query, key_value, key_value)
    widths = apart if len(family.query_key_value) == len(apart) else (sum(apart),)
    linears = (
        *(
            Linear(name, shape.hidden_size, width, shape.layers, "attention")
            for name, width in zip(family.query_key_value, widths, strict=True)
        ),
        Linear(family.output, query, shape.hidden_size, shape.layers, "attention"),
        *(
            Linear(name, shape.hidden_size, shape.intermediate_size, shape.layers, "mlp", bias=family.biases)
            for name in family.gate_up
        ),
        Linear(family.down, shape.intermediate_size, shape.hidden_size, shape.layers, "mlp", bias=family.biases),
    )
    return Architecture(
        model_type="custom",
        hidden_size=shape.hidden_size,
        layers=shape.layers,
        vocabulary_size=shape.vocabulary,
        attention_heads=shape.heads,
        key_value_heads=shape.key_value_heads,
        head_dim=shape.head_dim,
        intermediate_size=shape.intermediate_size,
        linears=linears,
        tied_embeddings=shape.tied,
        other_parameters=shape.hidden_size * (family.norms * shape.layers + 1),
        gated=family.gated,
        norms_per_layer=family.norms,
        parallel=family.parallel,
        logit_softcap=family.softcap,
        sliding_window=family.window,
        sliding_layers=shape.layers // 2 if family.window else 0,
    )
