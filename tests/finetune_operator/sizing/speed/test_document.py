"""docs/sizing.md on time and cost: what it says in sentences is what the code does."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import speed as bench
from docs import speed as tables
from finetune_operator.planning.inputs import TOKENS_PER_ROW
from finetune_operator.sizing.hardware import builtin
from finetune_operator.sizing.host import checkpoint_bytes
from finetune_operator.sizing.models.catalogue import lookup
from finetune_operator.sizing.setup import Engine, Setup
from finetune_operator.sizing.speed import communication, cost, run, step, tokens, traffic, utilisation
from tests.finetune_operator.sizing.speed.shapes import LLAMA_2_7B, LLAMA_2_13B, LLAMA_2_70B, LORA

PAGE = " ".join((Path(__file__).parents[4] / "docs" / "sizing.md").read_text(encoding="utf-8").split())
A100 = builtin().row("A100-80GB")


def passes(setup: Setup) -> float:
    found = step.step(setup, A100, accumulation=1)
    assert found is not None
    return found.passes


def overhead(tokens: int) -> float:
    short = replace(LORA, sequence_length=tokens)
    return passes(replace(short, method="qlora")) / passes(short) - 1


def milliseconds(tokens: int) -> float:
    return 1000 * passes(replace(LORA, architecture=LLAMA_2_7B, sequence_length=tokens))


def share(kind: str) -> float:
    return utilisation.utilisation(builtin().row(kind)).matmul


def share_of_memory(kind: str) -> float:
    return utilisation.utilisation(builtin().row(kind)).memory


@pytest.mark.parametrize(
    "said",
    [
        f"{share('A100-80GB')} for A100, {share('H100-80GB')} for H100, {share('RTX-4090')} for RTX 4090, and "
        f"{share('MI300X')} where nothing is published",
        f"over {share_of_memory('A100-80GB'):.0%} of the bandwidth",
        f"{step.STEP_OVERHEAD * 1000:.0f} ms a step of logging",
        f"{tokens.BYTES_PER_TOKEN} bytes are taken for a token, {tokens.BYTES_PER_TOKEN_SMALL} for a vocabulary under "
        f"{tokens.SMALL_VOCABULARY:,}",
        f"of each row {tokens.JSON_BYTES_PER_ROW} bytes for JSON",
        f"with `--rows` alone, {TOKENS_PER_ROW} tokens a row",
        f"{traffic.NF4_READ + 2:.2f} bytes a weight and pass, at {step.DEQUANTISING:.0%} of the bandwidth",
        f"{step.LAYER_FORWARD * 1000:.1f} ms forward and {step.LAYER_BACKWARD * 1000:.1f} ms backward",
        f"in {step.ADAPTER_FORWARD * 1000:.2f} and {step.ADAPTER_BACKWARD * 1000:.1f} ms",
        f"{milliseconds(256):.0f} ms with 256 tokens and {milliseconds(512):.0f} ms with 512",
        f"{overhead(512):.0%} with 512 tokens, {overhead(2048):.0%} with 2,048 and {overhead(8192):.0%} with 8,192",
        f"({step._UPDATE['fp32']} a weight for full fine-tuning in bf16 with random rounding, "
        f"{step._UPDATE_FP32_WEIGHTS} over weights in fp32, such as adapters', {step._UPDATE_8BIT} for 8-bit AdamW",
        f"{communication.REACHED['nvlink']:.0%} of NVLink's bandwidth is reached, and "
        f"{communication.REACHED['pcie']:.0%} of PCIe's. Between nodes {communication.BETWEEN_NODES_GBS} GB/s",
        f"each layer under fsdp takes {1000 * communication.SHARDED_LAYER:.0f} ms a pass",
        f"starts in {run.START:.0f} s, reads the model and writes checkpoints and results at {run.VOLUME_GBS} GB/s, "
        "reads these again for their digests at as much, before it goes on, "
        f"tokenises {run.TOKENISING:,} tokens a second",
        f"holds {len(bench.points()) + len(bench.points(used=False))} published speeds",
        f"{len(bench.points())} are used",
        f"the time is {cost.spot_seconds(100) - 100:.1f}% longer: an interruption every "
        f"{cost.HOURS_BETWEEN_INTERRUPTIONS:.0f} hours",
        f"{checkpoint_bytes(replace(LORA, method='full', architecture=LLAMA_2_13B)) / 1e9:.0f} GB each",
        f"{round(12 * LLAMA_2_70B.parameters, -10) / 1e9:.0f} GB, and there are 640",
    ],
)
def test_what_it_says(said: str) -> None:
    assert " ".join(said.split()) in PAGE


def test_what_it_says_in_words() -> None:
    assert step.MASKED_ATTENTION == 0.5
    assert "half of that under a mask" in PAGE
    assert traffic.CACHED == 0.25
    assert "a quarter of them still lies in the cache" in PAGE


@pytest.mark.parametrize(("sequences", "times"), [(1, "1.4"), (4, "2.9")])
def test_mixtures_are_predicted_too_fast(sequences: int, times: str) -> None:
    model = lookup("hf://Qwen/Qwen3-30B-A3B")
    assert model is not None
    setup = Setup(model, "full", sequences, 4096, True, accelerators=8, sharding="fsdp", kernel="flash")
    eager = replace(setup, engine=Engine(loss_kernel="eager", optimizer_precision="bf16"))
    found = step.step(eager, builtin().row("H100-80GB"), accumulation=1)
    assert found is not None
    assert f"{sequences * 4096 / found.seconds / 3075:.1f}" == times
    assert f" {times} times" in PAGE


def test_the_guides_hours_and_dollars() -> None:
    """Within a factor of two with 1,500 tokens a row; a third to a half with 500."""
    for guided in tables.GUIDED:
        for published, ours in (
            (guided.hours, lambda tokens, of=guided: of.expected(tokens).seconds / 3600),
            (guided.dollars, lambda tokens, of=guided: of.cost(tokens)),
        ):
            assert 0.5 <= ours(1500) / published <= 2
            assert 1.9 <= published / ours(500) <= 3.3


def test_checkpoints_share_of_the_guides_full_runs() -> None:
    lora, thirteen, seventy = (guided.expected(1500) for guided in tables.GUIDED[1:])
    assert lora.parts["checkpoints"] < 0.01 * lora.seconds
    assert thirteen.parts["checkpoints"] / thirteen.seconds == pytest.approx(0.48, abs=0.03)
    assert seventy.parts["checkpoints"] / seventy.seconds == pytest.approx(4 / 5, abs=0.03)
