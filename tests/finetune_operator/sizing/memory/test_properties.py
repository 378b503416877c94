"""What must hold whatever the model and the run."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from finetune_operator.sizing.memory import predict
from finetune_operator.sizing.models.config_json import from_config
from finetune_operator.sizing.setup import Engine, Setup
from tests.finetune_operator.sizing.memory.shapes import CONFIGS

LAYERS = st.integers(1, 80)
ENGINES = st.builds(
    Engine,
    loss_kernel=st.sampled_from(["chunked", "eager", "liger"]),
    adapter_precision=st.sampled_from(["fp32", "bf16"]),
    optimizer_precision=st.sampled_from(["fp32", "bf16"]),
    optimizer_kernel=st.sampled_from(["fused", "foreach", "foreach-2.0"]),
    optimizer_in_backward=st.booleans(),
    master_weights=st.booleans(),
    loss_precision=st.sampled_from(["fp32", "half"]),
    held_logits=st.booleans(),
    quantized_inputs=st.sampled_from(["freed", "kept"]),
    gradient_buckets_gib=st.sampled_from([0, 0.75]),
    quantization=st.sampled_from(["nf4-dq", "nf4", "int4-gptq", "int8"]),
    activation_offload=st.booleans(),
    compiled=st.booleans(),
)


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    """A run of a public model with another number of layers."""
    config = dict(CONFIGS[draw(st.sampled_from(sorted(CONFIGS)))])
    config["num_hidden_layers"] = draw(LAYERS)
    accelerators = draw(st.sampled_from([1, 2, 8]))
    return Setup(
        from_config(config),
        draw(st.sampled_from(["full", "lora", "qlora", "ia3"])),
        micro_batch_size=draw(st.integers(1, 8)),
        sequence_length=draw(st.integers(1, 32768)),
        gradient_checkpointing=draw(st.booleans()),
        optimizer=draw(st.sampled_from(["adamw", "adamw8bit", "pagedAdamw", "pagedAdamw8bit"])),
        objective=draw(st.sampled_from(["sft", "dpo"])),
        packed=draw(st.booleans()),
        kernel=draw(st.sampled_from(["flash", "sdpa", "eager"])),
        precision=draw(st.sampled_from(["bf16", "fp16", "fp32"])),
        rank=draw(st.integers(1, 256)),
        dropout=draw(st.sampled_from([0.0, 0.05])),
        target_modules=draw(st.sampled_from([("all-linear",), ("q_proj", "v_proj"), ("down_proj",)])),
        modules_to_save=draw(st.sampled_from([(), ("embed_tokens",), ("embed_tokens", "lm_head")])),
        accumulation=draw(st.sampled_from([1, 4])),
        accelerators=accelerators,
        sharding=draw(st.sampled_from(["ddp", "fsdp"])) if accelerators > 1 else "none",
        device=draw(st.sampled_from(["gpu", "cpu"])),
        engine=draw(ENGINES),
    )


@settings(max_examples=300, deadline=None)
@given(setups(), st.integers(1, 4096), st.integers(1, 64))
def test_more_tokens_sequences_and_rank_never_need_less(setup: Setup, tokens: int, more: int) -> None:
    least = predict(setup).total

    assert predict(replace(setup, sequence_length=setup.sequence_length + tokens)).total >= least
    assert predict(replace(setup, micro_batch_size=setup.micro_batch_size + more)).total >= least
    assert predict(replace(setup, rank=setup.rank + more)).total >= least


@settings(max_examples=300, deadline=None)
@given(setups(), st.integers(1, 40), st.sampled_from(sorted(CONFIGS)))
def test_more_layers_never_need_less(setup: Setup, more: int, model: str) -> None:
    layers = setup.architecture.layers
    fewer, deeper = (from_config({**CONFIGS[model], "num_hidden_layers": n}) for n in (layers, layers + more))

    assert predict(replace(setup, architecture=deeper)).total >= predict(replace(setup, architecture=fewer)).total


@settings(max_examples=300, deadline=None)
@given(setups())
def test_more_accelerators_under_fsdp_never_need_more_of_each(setup: Setup) -> None:
    needs = [predict(replace(setup, accelerators=n, sharding="fsdp")).total for n in (2, 4, 8, 64)]

    assert needs == sorted(needs, reverse=True)


@settings(max_examples=300, deadline=None)
@given(setups())
def test_checkpointing_never_needs_more(setup: Setup) -> None:
    # the last layer is recomputed at once: of a single one, the input is kept for nothing
    assume(setup.architecture.layers > 1)
    with_it, without = (predict(replace(setup, gradient_checkpointing=flag)).total for flag in (True, False))

    assert with_it <= without


@settings(max_examples=300, deadline=None)
@given(setups())
def test_the_terms_sum_to_the_total(setup: Setup) -> None:
    prediction = predict(setup)

    assert sum(prediction.terms.values()) == prediction.total <= prediction.required * 0.92 + 1
    assert all(size >= 0 for size in prediction.terms.values())
