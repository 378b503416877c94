"""What is trained: which matrices get an adapter, how many parameters that makes, and what is trained beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from finetune_operator.sizing.architecture import Linear
from finetune_operator.sizing.memory import norms, precision, weights
from finetune_operator.sizing.setup import Setup

ALL_LINEAR = "all-linear"
EMBEDDINGS = frozenset({"embed_tokens", "embed_in", "wte", "word_embeddings", "tok_embeddings"})
"""What the families of models call their token embedding."""
HEADS = frozenset({"lm_head", "embed_out", "output"})
"""What they call their output head."""

# PEFT 0.21 (utils/transformers_weight_conversion.py) turns targets in these families' experts, which were linear
# layers once, into adapters of the bare parameters that transformers 5 keeps them in; all-linear too.
_MIXTRAL = frozenset({"mixtral", "minimax", "minimax_m2"})
_QWEN_MOE = frozenset(
    {
        *("afmoe", "cohere2_moe", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots1", "ernie4_5_moe", "exaone_moe"),
        *("flex_olmo", "glm4_moe", "glm4_moe_lite", "glm_moe_dsa", "hunyuan_v1_moe", "longcat_flash", "mellum"),
        *("olmoe", "qwen3_moe", "qwen3_next", "solar_open"),
    }
)
_FORMER_NAMES = {
    **{family: {"w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"} for family in _MIXTRAL},
    **{
        family: {"gate_proj": "gate_up_proj", "up_proj": "gate_up_proj", "down_proj": "down_proj"}
        for family in _QWEN_MOE
    },
}


@dataclass(frozen=True, slots=True)
class Adapted:
    """One kind of matrix with an adapter."""

    linear: Linear
    rank: int


def adapted(setup: Setup) -> tuple[Adapted, ...]:
    """The matrices that the adapter is put beside, found by PEFT's rule: the last part of the name is a target.

    A fused pair of experts' matrices gets twice the rank, so that each half has the asked one (PEFT).
    """
    if setup.method == "full":
        return ()
    return tuple(_adapted(setup))


def _adapted(setup: Setup) -> Iterator[Adapted]:
    architecture = setup.architecture
    former = _FORMER_NAMES.get(architecture.model_type, {})
    everything = ALL_LINEAR in setup.target_modules
    names = {target.rpartition(".")[2] for target in setup.target_modules}
    for linear in architecture.linears:
        if linear.module:
            if everything or linear.name in names:
                yield Adapted(linear, setup.rank)
        elif linear.part == "router":
            if former and (everything or linear.name in names):
                yield Adapted(linear, setup.rank)
        elif setup.method != "ia3" and (everything or names.intersection(_former(former, linear.name))) and former:
            yield Adapted(linear, setup.rank * (2 if linear.name == "gate_up_proj" else 1))


def casts_input(setup: Setup, linear: Linear) -> bool:
    """Whether the adapter beside the matrix makes fp32 of its input, to round it again in its first product.

    PEFT 0.21 does where the adapter is in fp32, but beside bitsandbytes' matrices leaves that to autocast
    (tuners/lora/bnb.py, requires_conversion), of whose state on a CPU it does not ask.
    """
    if precision.trained(setup) <= precision.compute(setup):
        return False
    return not weights.quantised(setup, linear) or setup.device == "cpu"


def _former(names: dict[str, str], now: str) -> set[str]:
    return {then for then, name in names.items() if name == now}


def adapter_parameters(setup: Setup) -> int:
    """Elements of all adapters.

    LoRA: rank x (inputs + outputs) a matrix (Hu et al. 2021, arXiv:2106.09685, section 4.1). IA3: one factor for each
    output of attention and each input of the last feed-forward matrix (Liu et al. 2022, arXiv:2205.05638, section 3.3).
    """
    total = 0
    for each in adapted(setup):
        linear = each.linear
        count = linear.layers * linear.copies
        if setup.method == "ia3":
            total += count * (linear.inputs if linear.part == "mlp" else linear.outputs)
        else:
            total += count * each.rank * (linear.inputs + linear.outputs)
    return total


def saves_embedding(setup: Setup) -> bool:
    """Whether a copy of the token embedding is trained beside the adapter (PEFT's modules_to_save)."""
    return setup.method != "full" and bool(_last_names(setup) & EMBEDDINGS)


def saves_head(setup: Setup) -> bool:
    """Whether a copy of the output head is trained beside the adapter."""
    return setup.method != "full" and bool(_last_names(setup) & HEADS)


def stream(setup: Setup) -> int:
    """Bytes of one number of the residual stream: its type is that of the embedding, or of the copy that is trained.

    fp32 where its norms make all that follows fp32.
    """
    if norms.widen(setup):
        return precision.FP32
    return max(precision.weight(setup), precision.trained(setup) if saves_embedding(setup) else 0)


def trains_head(setup: Setup) -> bool:
    """Whether the output head has a gradient."""
    return setup.method == "full" or saves_head(setup)


def saved_parameters(setup: Setup) -> int:
    """Elements of the modules that are trained whole, beside the adapter. PEFT copies each."""
    if setup.method == "full":
        return 0
    architecture, names = setup.architecture, _last_names(setup)
    total = sum(linear.weights for linear in architecture.linears if linear.name in names)
    return total + architecture.embedding_parameters * (saves_embedding(setup) + saves_head(setup))


def parameters(setup: Setup) -> int:
    """Elements that are trained."""
    if setup.method == "full":
        return setup.architecture.parameters
    return adapter_parameters(setup) + saved_parameters(setup)


def largest_parameter(setup: Setup) -> int:
    """Elements of the largest trained tensor."""
    architecture = setup.architecture
    if setup.method == "full":
        bare = (1 if linear.module else linear.copies for linear in architecture.linears)
        matrices = (linear.matrix * copies for linear, copies in zip(architecture.linears, bare, strict=True))
        return max(architecture.embedding_parameters, *matrices)
    sizes = [max(each.linear.inputs, each.linear.outputs) * each.rank for each in adapted(setup)]
    if saves_embedding(setup) or saves_head(setup):
        sizes.append(architecture.embedding_parameters)
    return max(sizes, default=0)


def bytes_of(setup: Setup, elements: int) -> int:
    """Bytes of so many trained weights, or of their gradients."""
    return elements * precision.trained(setup)


def _last_names(setup: Setup) -> set[str]:
    return {name.rpartition(".")[2] for name in setup.modules_to_save}
