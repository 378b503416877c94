"""What the forward pass keeps for the backward pass, counted tensor by tensor in transformers 5.23 and PEFT 0.21.

Bytes for each token, of one layer or of all. Autograd keeps the inputs of an operation that its gradient needs: a
linear layer's input where its weight is trained, both factors of a product where both have a gradient, the input of an
activation function. Views share what they look at, and count once.
"""

from __future__ import annotations

from collections.abc import Iterable

from finetune_operator.sizing.architecture import Linear
from finetune_operator.sizing.memory import precision, trained, weights
from finetune_operator.sizing.setup import Setup

FUSED_ATTENTION = frozenset({"qkv_proj", "query_key_value", "c_attn", "Wqkv", "attn.c_attn"})
"""Names of matrices that make queries, keys and values in one: the values are a view that keeps all of it."""
TANH_IN_PYTHON = frozenset({"gpt2", "phi", "gptj", "gpt_neo", "codegen"})
"""Models with transformers' NewGELUActivation, written out in operations that keep three more tensors."""
STATISTICS = 4
"""fp32: one number for each row of a norm, or for each query of a head (log of the sum of its scores)."""


def norm(setup: Setup, width: int, *, feeds_linear: bool = True) -> int:
    """Bytes for each token that one RMSNorm over `width` keeps.

    transformers writes it out: an fp32 copy of the input (its square's gradient), one number a row, and where the
    scale is trained the normed values; its result is kept as the input of trained matrices. Compiled, the input in its
    own type is enough, beside the result that a trained matrix reads: what must be written anyhow is not made anew.
    """
    compute, full = precision.compute(setup), setup.method == "full"
    if setup.engine.compiled:
        return width * (precision.weight(setup) + (compute if full and feeds_linear else 0)) + STATISTICS
    normed = precision.FP32 if setup.architecture.model_type.startswith("gemma") else precision.weight(setup)
    kept = width * (precision.FP32 + (normed if full else 0)) + STATISTICS
    if full and feeds_linear and not precision.autocast(setup):
        kept += width * compute
    return kept


def attention(setup: Setup) -> int:
    """Bytes for each token that attention keeps in a layer, its norms, projections and scores in memory among it."""
    architecture, compute = setup.architecture, precision.compute(setup)
    queries, key_values = architecture.query_width, architecture.key_value_width
    keys = queries if repeats_keys(setup) else key_values
    kept = compute * (2 * queries + 2 * keys) + STATISTICS * architecture.attention_heads
    names = {linear.name for linear in architecture.linears if linear.part == "attention"}
    if names & FUSED_ATTENTION:
        kept += compute * (queries + key_values)
    if architecture.query_key_norm:
        kept += norm(setup, queries, feeds_linear=False) + norm(setup, key_values, feeds_linear=False)
    if precision.autocast(setup):
        # each projection casts its input to half precision for itself
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
            kept += linear.inputs * linear.active * compute if weight_kept else 0
            kept += architecture.hidden_size * linear.active * compute if bare else 0
        else:
            width = linear.outputs * linear.active
            kept += width * compute
            if architecture.gated:
                # the activation of the gate, as wide as half of gate and up together
                kept += 0 if compiled else width // 2 * compute
            elif architecture.model_type in TANH_IN_PYTHON and not compiled:
                kept += 3 * width * compute
            if bare and weight_kept:
                kept += architecture.hidden_size * linear.active * compute
            elif precision.autocast(setup) and not bare:
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
    kernel; on CPUs a mask of the input's type), and in the type that it is multiplied in. In bf16 without dropout it is
    the layer's own input, which all that read it share. IA3 keeps what it scales.
    """
    compute = precision.compute(setup)
    casts = precision.trained(setup) > compute
    mask = 1 if setup.device == "gpu" else precision.trained(setup)
    total = 0
    shared: dict[tuple[str, int, bool], int] = {}
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
        elif casts:
            total += count * linear.inputs * compute
        elif linear.part != "attention" or linear.inputs != setup.architecture.query_width or linear.name in _READERS:
            key = (linear.part, linear.inputs, is_last(setup, linear))
            shared[key] = max(shared.get(key, 0), count * linear.inputs * compute)
    return total + sum(shared.values())


def quantised_inputs(setup: Setup) -> int:
    """Bytes for each token and all layers of the inputs of quantised matrices, where bitsandbytes keeps them.

    MatMul4Bit held them up to 0.43 (autograd/_functions.py), unused. Matrices that read the same share it, and an
    adapter in half precision without dropout too; attention's result is kept anyhow.
    """
    if setup.engine.quantized_inputs == "freed" or not setup.engine.quantization.startswith("nf4"):
        return 0
    plain = not setup.dropout and precision.trained(setup) <= precision.compute(setup)
    counted = {_input(setup, each.linear) for each in trained.adapted(setup)} if plain else set()
    inputs: dict[tuple[str, int], int] = {}
    for linear in setup.architecture.linears:
        key = _input(setup, linear)
        if weights.quantised(setup, linear) and key not in counted and key[0] != "result":
            inputs[key] = max(inputs.get(key, 0), linear.layers * linear.active * linear.inputs)
    return sum(inputs.values()) * precision.compute(setup)


def _input(setup: Setup, linear: Linear) -> tuple[str, int]:
    """What the matrix reads: matrices with the same name and width read the same tensor."""
    if linear.part == "attention" and linear.name not in _READERS:
        return "result", linear.inputs
    if is_last(setup, linear):
        return "product", linear.inputs
    return "norm" if setup.architecture.parallel else linear.part, linear.inputs


_READERS = frozenset({"q_proj", "k_proj", "v_proj", *FUSED_ATTENTION})
"""They read the normed residual stream; what reads attention's result finds that kept already."""


def norms(setup: Setup) -> int:
    """Bytes for each token of a layer's norms of the residual stream. One more than two stands behind a matrix."""
    architecture = setup.architecture
    before = min(architecture.norms_per_layer, 2)
    after = architecture.norms_per_layer - before
    width = architecture.hidden_size
    return before * norm(setup, width) + after * norm(setup, width, feeds_linear=False)


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
    uniform = architecture.layers * (norms(setup) + attention(setup) + router(setup))
    mixed = sum(linear.layers * feed_forward(setup, (linear,)) for linear in architecture.linears)
    return uniform + mixed + adapters(setup) + quantised_inputs(setup)


def one_layer(setup: Setup) -> int:
    """Bytes for each token that the widest layer keeps while its gradient is computed."""
    architecture = setup.architecture
    everywhere = [linear for linear in architecture.linears if linear.layers == architecture.layers]
    elsewhere = [linear for linear in architecture.linears if linear.layers != architecture.layers]
    kinds = ([each for each in elsewhere if each.layers == layers] for layers in {each.layers for each in elsewhere})
    widest = max((feed_forward(setup, kind) for kind in kinds), default=0)
    common = norms(setup) + attention(setup) + router(setup) + feed_forward(setup, everywhere)
    return common + widest + -(-(adapters(setup) + quantised_inputs(setup)) // architecture.layers)


def given_back(setup: Setup) -> int:
    """Bytes for each token of that which are free again when attention's gradient is computed."""
    architecture = setup.architecture
    return feed_forward(setup, [each for each in architecture.linears if each.layers == architecture.layers])


def checkpoint(setup: Setup) -> int:
    """Bytes for each token of one layer's input, all that checkpointing keeps (Chen et al. 2016, arXiv:1604.06174)."""
    return setup.architecture.hidden_size * trained.stream(setup)
