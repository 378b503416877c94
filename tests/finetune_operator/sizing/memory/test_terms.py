"""Each term against arithmetic that can be done by hand, for Llama 3.1 8B and others of CONFIGS."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetune_operator.sizing.memory import TERMS, activations, delta, predict, trained, weights, workspace
from finetune_operator.sizing.setup import Engine, Generation, Setup
from tests.finetune_operator.sizing.memory.shapes import architecture

GB = 1e9
MATRICES = 32 * (4096 * 4096 * 2 + 4096 * 1024 * 2 + 3 * 4096 * 14336)
OUTER = 2 * 128256 * 4096 + (2 * 32 + 1) * 4096
PARAMETERS = MATRICES + OUTER


def setup(method: Any = "lora", model: str = "llama-8b", **more: Any) -> Setup:
    """One sequence of 2,048 tokens with checkpointing, unless it says otherwise."""
    settings = {"micro_batch_size": 1, "sequence_length": 2048, "gradient_checkpointing": True, "kernel": "flash"}
    return Setup(architecture(model), method, **{**settings, **more})


def quantised(kind: Any) -> Setup:
    """qlora over weights of that kind."""
    return setup("qlora", engine=Engine(quantization=kind))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (setup("full"), 2 * PARAMETERS),
        (setup("lora"), 2 * PARAMETERS),
        (setup("lora", precision="fp32"), 4 * PARAMETERS),
        (setup("full", precision="fp16"), 4 * PARAMETERS),
        (setup("lora", precision="fp16"), 2 * PARAMETERS),
        (setup("full", engine=Engine(master_weights=True)), 4 * PARAMETERS),
        (quantised("nf4"), MATRICES * 9 / 16 + 2 * OUTER),
        (quantised("nf4-dq"), MATRICES * (1 / 2 + 1 / 64 + 1 / 4096) + 2 * OUTER),
        (quantised("int8"), MATRICES + 2 * OUTER),
        (setup("full", accelerators=8, sharding="ddp"), 2 * PARAMETERS),
        (setup("full", accelerators=8, sharding="fsdp"), 2 * PARAMETERS / 8),
        # two processes that train 91M parameters: 1.4 MB of scales are left whole, measured
        (
            setup("qlora", accelerators=8, sharding="fsdp"),
            (MATRICES / 2 + 2 * OUTER) / 8 + MATRICES * (1 / 64 + 1 / 4096),
        ),
    ],
)
def test_weights(given: Setup, expected: float) -> None:
    assert predict(given).terms["weights"] == pytest.approx(expected, abs=1)


def test_experts_that_are_bare_parameters_are_not_quantised() -> None:
    shape = architecture("qwen3-moe")
    experts = 48 * 128 * 3 * 2048 * 768

    assert weights.weights(setup("qlora", "qwen3-moe")) > 2 * experts
    assert shape.parameters == pytest.approx(30.53e9, rel=1e-3)


@pytest.mark.parametrize(
    ("targets", "rank", "parameters"),
    [
        (("all-linear",), 16, 41_943_040),  # what PEFT prints for Llama 3.1 8B
        (("q_proj", "v_proj"), 8, 3_407_872),
        (("self_attn.q_proj",), 8, 8 * 32 * 8192),
        (("nothing_proj",), 8, 0),
    ],
)
def test_adapters(targets: tuple[str, ...], rank: int, parameters: int) -> None:
    given = setup(target_modules=targets, rank=rank)

    assert trained.parameters(given) == parameters
    assert predict(given).terms["adapters"] == 4 * parameters
    assert predict(setup(target_modules=targets, rank=rank, engine=Engine(adapter_precision="bf16"))).terms[
        "adapters"
    ] == (2 * parameters)


@pytest.mark.parametrize(
    ("targets", "a_layer"),
    [
        (("q_proj", "v_proj"), 16 * (2048 + 4096) + 16 * (2048 + 512)),
        # gate and up are one parameter of twice the rank; each expert has its own
        (("gate_proj", "up_proj", "down_proj"), 128 * (32 * (2048 + 1536) + 16 * (768 + 2048))),
    ],
)
def test_adapters_of_experts(targets: tuple[str, ...], a_layer: int) -> None:
    given = setup(model="qwen3-moe", target_modules=targets, dropout=0.0)

    assert trained.parameters(given) == 48 * a_layer


def test_modules_to_save_are_trained_whole() -> None:
    plain, saving = setup(), setup(modules_to_save=("embed_tokens", "lm_head"))

    assert trained.parameters(saving) - trained.parameters(plain) == 2 * 128256 * 4096
    assert predict(saving).terms["gradients"] > predict(plain).terms["gradients"]


@pytest.mark.parametrize(
    ("optimizer", "engine", "bytes_each"),
    [
        ("adamw", Engine(), 8),
        ("adamw", Engine(optimizer_precision="bf16"), 4),
        ("adamw8bit", Engine(), 2 * (1 + 4 / 256)),
    ],
)
def test_optimizer(optimizer: Any, engine: Engine, bytes_each: float) -> None:
    given = setup("full", optimizer=optimizer, engine=engine)

    assert predict(given).terms["optimizer"] == pytest.approx(bytes_each * PARAMETERS, abs=1)


def test_a_paged_optimizer_keeps_one_tensors_moments_on_the_gpu() -> None:
    given = setup("full", optimizer="pagedAdamw")

    assert predict(given).terms["optimizer"] == 8 * 128256 * 4096
    assert predict(setup("full", optimizer="pagedAdamw", device="cpu")).terms["optimizer"] == 8 * PARAMETERS


@pytest.mark.parametrize(
    ("method", "engine", "buffers"),
    [
        ("full", Engine(), 16 * 2**24),  # StochasticAdamW's chunk
        ("full", Engine(optimizer_kernel="foreach"), 4 * PARAMETERS),
        ("full", Engine(optimizer_kernel="foreach", optimizer_precision="bf16"), 2 * PARAMETERS),
        ("full", Engine(optimizer_kernel="foreach-2.0"), 8 * PARAMETERS),
    ],
)
def test_the_step_takes_scratch_memory(method: Any, engine: Engine, buffers: int) -> None:
    given = predict(setup(method, sequence_length=128, engine=engine))

    assert given.moment == "step"
    assert given.terms["buffers"] == buffers


def test_the_optimizer_in_the_backward_pass_leaves_no_gradients() -> None:
    at_once = predict(setup("full", engine=Engine(optimizer_in_backward=True)))

    assert at_once.terms["gradients"] == 2 * 128256 * 4096
    assert predict(setup("full")).terms["gradients"] == 2 * PARAMETERS


def test_logits_of_all_tokens_take_gigabytes_and_in_chunks_they_do_not() -> None:
    eager = predict(setup(micro_batch_size=2, engine=Engine(loss_kernel="eager"))).terms["logits"]

    assert eager == 12 * 4096 * 128256
    for kernel in ("chunked", "liger"):
        engine = Engine(loss_kernel=kernel)
        assert predict(setup(micro_batch_size=2, engine=engine)).terms["logits"] < 0.8 * GB


@pytest.mark.parametrize(
    ("engine", "a_logit"),
    [({"loss_precision": "half"}, 3 * 2), ({"held_logits": True}, 4 * 4), ({"compiled": True}, 2 + 2 + 4)],
)
def test_what_other_engines_keep_of_a_logit(engine: dict[str, Any], a_logit: int) -> None:
    eager = Engine.model_validate({"loss_kernel": "eager", **engine})

    assert predict(setup(sequence_length=8192, engine=eager)).terms["logits"] == a_logit * 8192 * 128256


@pytest.mark.parametrize(
    ("more", "a_token_and_layer"),
    [
        # bf16: what attention reads, what the feed-forward layer reads, and the product that its last matrix reads
        ({}, 2 * (2 * 4096 + 14336)),
        ({"method": "lora"}, 0),
        ({"engine": {"quantization": "int4-gptq"}}, 0),
        # the adapter in bf16 keeps the same two tensors as q_proj and down_proj read
        (
            {"dropout": 0.0, "engine": {"adapter_precision": "bf16"}, "target_modules": ("q_proj", "down_proj")},
            2 * 4096,
        ),
    ],
)
def test_inputs_that_bitsandbytes_kept(more: dict[str, Any], a_token_and_layer: int) -> None:
    given = {"method": "qlora", "gradient_checkpointing": False, **more}
    engine = {"loss_kernel": "eager", **given.pop("engine", {})}
    kept, freed = (
        predict(setup(**given, engine=Engine.model_validate({**engine, "quantized_inputs": inputs})))
        for inputs in ("kept", "freed")
    )

    assert kept.moment == freed.moment == "head"
    assert kept.terms["activations"] - freed.terms["activations"] == 2048 * 32 * a_token_and_layer


@pytest.mark.parametrize(
    ("method", "device", "kept", "cast"),
    [
        ("lora", "gpu", 4, 2 + 4 + 4),  # bf16 for each of both; bf16, fp32 and dropped out
        ("qlora", "gpu", 2, 2),  # what both read, and its gradient
        ("qlora", "cpu", 4, 2 + 4 + 4),
    ],
)
def test_peft_casts_no_input_beside_4_bit_matrices_on_gpus(method: Any, device: Any, kept: int, cast: int) -> None:
    given = setup(method, device=device, dropout=0.0, target_modules=("gate_proj", "up_proj"))
    dropping = replace(given, dropout=0.05)
    ranks = 2 * 16 * 2

    assert activations.adapters(given) == 32 * (4096 * kept + ranks)
    assert workspace.casts_of_adapters(dropping) == 2048 * 4096 * (cast + 4 * 2)


@pytest.mark.parametrize(
    ("model", "share"),
    [("llama-8b", 0.87), ("gpt2", 0.91), ("falcon", 0.0)],  # Falcon's layers are of a class of its own
)
def test_what_transformers_quantises(model: str, share: float) -> None:
    shape, given = architecture(model), setup("qlora", model)
    found = sum(linear.weights for linear in shape.linears if weights.quantised(given, linear))

    assert found / shape.parameters == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("method", "precision", "kept"),
    [
        # of 4,096 keys and values of 32 heads, in fp32, rounded, and the states of each head
        ("lora", "bf16", 4 * (11 * 4096 + 2 * 2048 + 8192) + 2 * (2 * 8192 + 10 * 4096 + 3 * 2048 + 2 * 8192)),
        # what the norm's weight multiplies, and what the last matrix reads
        ("full", "bf16", 4 * (11 * 4096 + 2 * 2048 + 8192) + 2 * (2 * 8192 + 12 * 4096 + 3 * 2048 + 2 * 8192)),
        ("lora", "fp32", 4 * (2 * 8192 + 19 * 4096 + 5 * 2048 + 8192)),
    ],
)
def test_what_a_gated_delta_rule_keeps(method: Any, precision: Any, kept: int) -> None:
    assert delta.kept(setup(method, "qwen3.5", precision=precision)) == pytest.approx(kept, rel=0.01)


@pytest.mark.parametrize("model", ["qwen3.5", "qwen3-next"])
def test_a_gated_delta_rule_keeps_over_five_times_what_attention_keeps(model: str) -> None:
    assert delta.kept(setup(model=model)) > 5 * activations.attention(setup(model=model))


def test_layers_with_a_delta_rule_have_no_mask_and_no_scores() -> None:
    run = setup(model="qwen3.5", gradient_checkpointing=False, kernel="eager")
    without = replace(run.architecture, delta_rule=None)
    scores = predict(run).terms["activations"] - predict(replace(run, kernel="flash")).terms["activations"]
    of_all = replace(run, architecture=without)
    scores_of_all = predict(of_all).terms["activations"] - predict(replace(of_all, kernel="flash")).terms["activations"]

    assert scores < scores_of_all / 2


def test_a_layer_norm_makes_the_residual_stream_of_4_bit_matrices_fp32() -> None:
    assert [trained.stream(setup("qlora", model)) for model in ("opt", "llama-8b", "falcon")] == [4, 2, 2]
    assert trained.stream(setup("lora", "opt")) == 2
    assert trained.stream(setup("qlora", "opt", device="cpu")) == 2


def test_autogptq_keeps_a_layer_in_half_precision_and_spreads_out_one_matrix() -> None:
    """int32 and int8 of the largest one, beside the fp16 of those before it."""
    layer, largest = MATRICES // 32, 4096 * 14336
    given: dict[str, Any] = {"precision": "fp16", "sequence_length": 1, "target_modules": ("nothing_proj",)}
    gptq = predict(setup("qlora", engine=Engine(quantization="int4-gptq"), **given))

    assert gptq.moment == "layers"
    assert gptq.terms["buffers"] == 2 * (layer - largest) + (4 + 1) * largest


def test_buckets_of_gradients_are_there_in_the_backward_pass() -> None:
    with_them = predict(setup(engine=Engine(gradient_buckets_gib=0.75)))

    assert with_them.terms["buffers"] - predict(setup()).terms["buffers"] == 0.75 * 2**30


def test_dpo_puts_two_answers_through_and_full_fine_tuning_keeps_the_first_model() -> None:
    assert predict(setup("full", objective="dpo")).terms["reference"] == 2 * PARAMETERS
    assert predict(setup("lora", objective="dpo")).terms["reference"] == 0
    twice = predict(setup("lora", micro_batch_size=2)).terms["activations"]
    assert predict(setup("lora", objective="dpo")).terms["activations"] == twice


def test_generation_is_the_peak_where_its_cache_is_larger_than_training() -> None:
    made = Generation(batch_size=64, context=8192)
    given = predict(setup("qlora", generation=made))

    assert given.moment == "generation"
    assert given.terms["generation"] == 64 * 8192 * 32 * 2 * 1024 * 2
    assert given.terms["activations"] == 64 * 8192 * 2 * (3 * 14336 + 2 * 4096)
    assert given.terms["gradients"] == 0


def test_packed_sequences_need_a_mask_where_there_is_no_flash_attention() -> None:
    length = 16384
    flash = predict(setup(sequence_length=length)).total
    masked = predict(setup(sequence_length=length, kernel="sdpa")).total
    eager = predict(setup(sequence_length=length, kernel="eager")).total

    # bool for all layers and bf16 for one, at least
    assert masked - flash > 3 * length**2
    assert eager > 32 * length**2 * 6


def test_ddp_costs_a_copy_of_the_gradients_and_fsdp_divides_what_is_kept() -> None:
    alone, ddp = predict(setup("full")), predict(setup("full", accelerators=4, sharding="ddp"))
    fsdp = predict(setup("full", accelerators=4, sharding="fsdp"))

    assert ddp.total - alone.total > 1.9 * PARAMETERS
    assert fsdp.terms["optimizer"] == 2 * PARAMETERS
    assert fsdp.total < 0.5 * alone.total


@pytest.mark.parametrize("method", ["full", "lora", "qlora", "ia3"])
def test_what_is_shown_is_whole(method: Any) -> None:
    given = predict(setup(method))

    assert tuple(given.terms) == TERMS
    assert given.total == sum(given.terms.values())
    assert given.required == pytest.approx(given.total / 0.92, abs=1)
    assert min(given.terms.values()) >= 0


def test_a_quantised_model_is_whole_on_each_accelerator_before_it_is_cut_up() -> None:
    """transformers quantises on every GPU; cut into eight, the run itself takes far less."""
    shared: dict[str, Any] = {"accelerators": 8, "sharding": "fsdp", "sequence_length": 512}
    found = predict(setup("qlora", **shared))
    assert found.moment == "loading"
    assert found.terms["weights"] + found.terms["buffers"] == weights.weights(setup("qlora"))
    assert predict(setup("qlora", **shared, engine=Engine(quantized_loading="sharded"))).total < found.total
