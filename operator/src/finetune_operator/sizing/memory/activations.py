"""What the forward pass keeps for the backward pass, counted tensor by tensor in transformers 5.23 and PEFT 0.21.

Bytes for each token, of one layer or of all. Autograd keeps the inputs of an operation that its gradient needs: a
linear layer's input where its weight is trained, both factors of a product where both have a gradient, the input of an
activation function. Views share what they look at, and count once.
"""

from __future__ import annotations

from collections.abc import Iterable

from finetune_operator.sizing.architecture import Linear
from finetune_operator.sizing.memory import delta, norms, precision, trained, weights
from finetune_operator.sizing.setup import Setup

FUSED_ATTENTION = frozenset({"qkv_proj", "query_key_value", "c_attn", "Wqkv", "attn.c_attn"})
"""Names of matrices that make queries, keys and values in one: the values are a view that keeps all of it."""
TANH_IN_PYTHON = frozenset({"gpt2", "phi", "gptj", "gpt_neo", "codegen"})
"""Models with transformers' NewGELUActivation, written out in operations that keep three more tensors.

They are in fp32 from its cube on, which autocast computes in fp32 on GPUs.
"""
NOT_ROTATED = frozenset({"bloom", "falcon", "gpt2", "gpt-sw3", "gpt_bigcode", "mpt"})
"""Models that make queries, keys and values in one, and where none is kept beside it: all are views of it, or copied
out of it (Falcon)."""
JOINED = frozenset(
    {
        *("glm", "glm4", "glm4_moe", "gpt_neox", "minimax_m2", "nemotron", "phi", "phi3", "qwen3_5_moe_text"),
        *("qwen3_5_text", "qwen3_next", "stablelm"),
    }
)
"""Models that join queries of two parts, head by head. Attention's result is laid out alike, and copied token by token
for the matrix behind it."""
GATED = frozenset({"qwen3_5_moe_text", "qwen3_5_text", "qwen3_next"})
"""Models that multiply attention's result by a sigmoid, which is kept."""
RELU = frozenset({"opt"})
"""Models whose activation keeps its result, which the next matrix reads, and not its input."""
RESIDUAL_DROPOUT = frozenset({"gpt2", "gpt-sw3", "gpt_bigcode", "opt", "phi", "starcoder2"})
"""Models published with dropout behind attention and feed-forward layer."""
STATISTICS = 4
"""fp32: one number for each query of a head, the log of the sum of its scores."""


def attention(setup: Setup) -> int:
    """Bytes for each token that attention keeps in a layer, its norms, projections and scores in memory among it."""
    architecture, compute = setup.architecture, precision.compute(setup)
    queries, key_values = architecture.query_width, architecture.key_value_width
    keys = queries if repeats_keys(setup) else key_values
    kept = compute * (2 * queries + 2 * keys) + STATISTICS * architecture.attention_heads
    names = {linear.name for linear in architecture.linears if linear.part == "attention"}
    if names & FUSED_ATTENTION and architecture.model_type not in NOT_ROTATED and not norms.widen(setup):
        kept += compute * (queries + key_values)
    if architecture.query_key_norm:
        kept += norms.one(setup, queries, feeds_linear=False) + norms.one(setup, key_values, feeds_linear=False)
    if architecture.model_type in JOINED and setup.method == "full":
        kept += compute * queries
    if architecture.model_type in GATED:
        kept += compute * queries
    if norms.rounded_by_each(setup):
        kept += compute * architecture.hidden_size * (1 if names & FUSED_ATTENTION else 3)
    return kept


def repeats_keys(setup: Setup) -> bool:
    """Whether keys and values are copied for each query head: eager attention does, and sdpa where there is a mask."""
    grouped = setup.architecture.key_value_heads < setup.architecture.attention_heads
    return grouped and (setup.kernel == "eager" or needs_mask(setup))


def needs_mask(setup: Setup) -> bool:
    """sdpa looks at a mask where several examples share a sequence, or padding is among several sequences."""
    return setup.kernel == "sdpa" and (setup.packed or setup.micro_batch_size > 1)


def feed_forward(setup: Setup, linears: Iterable[Linear]) -> int:
    """Bytes for each token that the feed-forward matrices keep: SwiGLU's gate, up, activation and product.

    A trained last matrix keeps the product. Experts keep the tokens as they were handed out and as they came back, to
    weigh them (integrations/moe.py, grouped_mm).
    """
    architecture, compute = setup.architecture, precision.compute(setup)
    full, compiled = setup.method == "full", setup.engine.compiled
    with_adapter = {id(each.linear) for each in trained.adapted(setup)}
    kept = 0
    for linear in linears:
        if linear.part != "mlp":
            continue
        bare = not linear.module
        weight_kept = full or (bare and id(linear) in with_adapter)
        if is_last(setup, linear):
            shared = architecture.model_type in RELU
            kept += linear.inputs * linear.active * compute if weight_kept and not shared else 0
            kept += architecture.hidden_size * linear.active * compute if bare else 0
        else:
            width = linear.outputs * linear.active
            kept += width * (precision.FP32 if norms.widen(setup) else compute)
            if architecture.gated:
                # the activation of the gate, as wide as half of gate and up together
                kept += 0 if compiled else width // 2 * compute
            elif architecture.model_type in TANH_IN_PYTHON and not compiled:
                kept += 3 * width * (precision.FP32 if precision.autocasts(setup) else compute)
            if bare and weight_kept:
                kept += architecture.hidden_size * linear.active * compute
            elif norms.rounded_by_each(setup) and not bare:
                kept += linear.inputs * compute
    return kept


_LAST = frozenset({"down_proj", "w2", "c_proj", "fc2", "fc_out", "dense_4h_to_h", "output_linear"})


def is_last(setup: Setup, linear: Linear) -> bool:
    """Whether the matrix of a feed-forward layer leads back to the residual stream."""
    hidden = setup.architecture.hidden_size
    return linear.outputs == hidden and (linear.inputs != hidden or linear.name in _LAST)


def adapters(setup: Setup) -> int:
    """Bytes for each token and all layers that adapters keep.

    Each keeps its input once more: after dropout, which also keeps a mask of one byte an element (torch's fused
    kernel; on CPUs a mask of the input's type), and in the type that it is multiplied in. Without dropout, where it is
    not cast, it is the layer's own input, which all that read it share. IA3 keeps what it scales.
    """
    compute = precision.compute(setup)
    mask = 1 if setup.device == "gpu" else precision.trained(setup)
    total = 0
    shared: dict[tuple[str, int, bool, bool], int] = {}
    for each in trained.adapted(setup):
        linear = each.linear
        if not linear.module and linear.part != "router":
            continue
        if setup.method == "ia3":
            total += linear.layers * compute * (linear.inputs if linear.part == "mlp" else linear.outputs)
            continue
        count = linear.layers * linear.active
        total += count * each.rank * compute
        if setup.dropout:
            total += count * linear.inputs * (compute + mask)
        elif trained.casts_input(setup, linear):
            total += count * linear.inputs * compute
        elif _is_kept_anyhow(setup, linear):
            continue
        elif norms.widen(setup):
            # autocast rounds it for each
            total += count * linear.inputs * compute
        else:
            key = (linear.part, linear.inputs, is_last(setup, linear), _reads(linear))
            shared[key] = max(shared.get(key, 0), count * linear.inputs * compute)
    return total + sum(shared.values())


def _is_kept_anyhow(setup: Setup, linear: Linear) -> bool:
    """Whether the matrix reads attention's result itself."""
    if linear.part != "attention" or _reads(linear) or setup.architecture.model_type in JOINED:
        return False
    return linear.inputs == setup.architecture.query_width


def quantised_inputs(setup: Setup) -> int:
    """Bytes for each token and all layers of the inputs of quantised matrices, where bitsandbytes keeps them.

    MatMul4Bit held them up to 0.43 (autograd/_functions.py), unused. Matrices that read the same share it, and an
    adapter in half precision without dropout too; attention's result is kept anyhow.
    """
    if setup.engine.quantized_inputs == "freed" or not setup.engine.quantization.startswith("nf4"):
        return 0
    shared = () if setup.dropout else trained.adapted(setup)
    counted = {_input(setup, each.linear) for each in shared if not trained.casts_input(setup, each.linear)}
    inputs: dict[tuple[str, int], int] = {}
    for linear in setup.architecture.linears:
        key = _input(setup, linear)
        if weights.quantised(setup, linear) and key not in counted and key[0] != "result":
            inputs[key] = max(inputs.get(key, 0), linear.layers * linear.active * linear.inputs)
    return sum(inputs.values()) * precision.compute(setup)


def _input(setup: Setup, linear: Linear) -> tuple[str, int]:
    """What the matrix reads: matrices with the same name and width read the same tensor."""
    if linear.part == "attention" and not _reads(linear):
        return "result", linear.inputs
    if is_last(setup, linear):
        return "product", linear.inputs
    return "norm" if setup.architecture.parallel else linear.part, linear.inputs


def _reads(linear: Linear) -> bool:
    """Whether it reads the normed residual stream; what reads attention's result finds that kept already."""
    return linear.name in {"q_proj", "k_proj", "v_proj"} | FUSED_ATTENTION


def dropped(setup: Setup) -> int:
    """Bytes for each token of the masks of a layer's own dropout, of its attention and of its feed-forward layer."""
    if setup.architecture.model_type not in RESIDUAL_DROPOUT:
        return 0
    return 2 * setup.architecture.hidden_size * (1 if setup.device == "gpu" else precision.compute(setup))


def router(setup: Setup) -> int:
    """Bytes for each token and layer of the choice of experts: logits, fp32 probabilities twice, indices."""
    return sum(
        linear.outputs * (precision.compute(setup) + 2 * precision.FP32)
        for linear in setup.architecture.linears
        if linear.part == "router"
    )


def all_layers(setup: Setup) -> int:
    """Bytes for each token that all layers keep, without checkpointing."""
    architecture = setup.architecture
    uniform = architecture.layers * (norms.of_layer(setup) + dropped(setup) + router(setup))
    linear = delta.layers(architecture)
    uniform += (architecture.layers - linear) * attention(setup) + linear * delta.kept(setup)
    mixed = sum(linear.layers * feed_forward(setup, (linear,)) for linear in architecture.linears)
    return uniform + mixed + adapters(setup) + quantised_inputs(setup)


def one_layer(setup: Setup) -> int:
    """Bytes for each token that the widest layer keeps while its gradient is computed."""
    architecture = setup.architecture
    everywhere = [linear for linear in architecture.linears if linear.layers == architecture.layers]
    elsewhere = [linear for linear in architecture.linears if linear.layers != architecture.layers]
    kinds = ([each for each in elsewhere if each.layers == layers] for layers in {each.layers for each in elsewhere})
    widest = max((feed_forward(setup, kind) for kind in kinds), default=0)
    mixer = max(attention(setup), delta.kept(setup))
    common = norms.of_layer(setup) + mixer + dropped(setup) + router(setup)
    common += feed_forward(setup, everywhere)
    return common + widest + -(-(adapters(setup) + quantised_inputs(setup)) // architecture.layers)


def given_back(setup: Setup) -> int:
    """Bytes for each token of that which are free again when attention's gradient is computed."""
    architecture = setup.architecture
    return feed_forward(setup, [each for each in architecture.linears if each.layers == architecture.layers])


def checkpoint(setup: Setup) -> int:
    """Bytes for each token of one layer's input, all that checkpointing keeps (Chen et al. 2016, arXiv:1604.06174)."""
    return setup.architecture.hidden_size * trained.stream(setup)
