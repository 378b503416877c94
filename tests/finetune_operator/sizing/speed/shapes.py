"""Models that the tests of speed are about."""

from dataclasses import replace

from finetune_operator.sizing.architecture import Architecture, Linear
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.setup import Setup


def llama(
    hidden: int, layers: int, wide: int, heads: int, keys: int, vocabulary: int, head_dim: int = 128
) -> Architecture:
    queries, values = heads * head_dim, keys * head_dim
    shapes = [
        ("q_proj", hidden, queries),
        ("k_proj", hidden, values),
        ("v_proj", hidden, values),
        ("o_proj", queries, hidden),
        ("gate_proj", hidden, wide),
        ("up_proj", hidden, wide),
        ("down_proj", wide, hidden),
    ]
    return Architecture(
        model_type="llama",
        hidden_size=hidden,
        layers=layers,
        vocabulary_size=vocabulary,
        attention_heads=heads,
        key_value_heads=keys,
        head_dim=head_dim,
        intermediate_size=wide,
        linears=tuple(
            Linear(name, inputs, outputs, layers, part="attention" if name[0] in "qkvo" else "mlp")
            for name, inputs, outputs in shapes
        ),
        tied_embeddings=False,
        other_parameters=hidden * (2 * layers + 1),
    )


LLAMA_3_8B = llama(4096, 32, 14336, 32, 8, 128256)
LLAMA_2_7B = llama(4096, 32, 11008, 32, 32, 32000)
LLAMA_2_13B = llama(5120, 40, 13824, 40, 40, 32000)
LLAMA_2_70B = llama(8192, 80, 28672, 64, 8, 32000)
TINY = llama(128, 2, 256, 2, 2, 2048, head_dim=64)
MIXTURE = replace(
    LLAMA_3_8B,
    linears=tuple(
        replace(linear, copies=8, active=2) if linear.part == "mlp" else linear for linear in LLAMA_3_8B.linears
    ),
)
"""Eight experts, two of which a token passes through."""

LORA = Setup(
    architecture=LLAMA_3_8B, method="lora", micro_batch_size=1, sequence_length=2048, gradient_checkpointing=True
)
DATA = DataFacts(rows=10_000, tokens=5_000_000)
