"""Whole runs: what their time is made of, and what they cost."""

import random
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import CPU, Price, builtin
from finetune_operator.sizing.setup import Setup
from finetune_operator.sizing.speed import Estimate, cost_usd, estimate, tokens_from_bytes
from finetune_operator.sizing.speed.batches import batches, padded_tokens
from tests.finetune_operator.sizing.speed.shapes import DATA, LORA

A100 = builtin().row("A100-80GB")


def run(
    setup: Setup = LORA,
    data: DataFacts = DATA,
    *,
    gpu: str = "A100-80GB",
    epochs: float = 3,
    max_steps: int | None = None,
    effective: int = 16,
) -> Estimate:
    found = estimate(
        setup,
        builtin().row(gpu),
        nodes=1,
        data=data,
        epochs=epochs,
        max_steps=max_steps,
        effective_batch_size=effective,
    )
    assert found is not None
    return found


def test_the_parts_are_the_whole() -> None:
    found = run()
    assert list(found.parts) == ["start", "load", "prepare", "training", "evaluation", "checkpoints", "export"]
    assert found.seconds == sum(found.parts.values())
    assert found.parts["training"] == pytest.approx(found.steps * found.step.seconds)
    assert found.tokens == 15_000_000


@pytest.mark.parametrize("data", [DataFacts(), DataFacts(rows=10), DataFacts(tokens=10), DataFacts(rows=0, tokens=0)])
def test_unknown_data_has_no_time(data: DataFacts) -> None:
    assert estimate(LORA, A100, nodes=1, data=data, epochs=3, max_steps=None, effective_batch_size=16) is None


def test_an_unknown_speed_has_no_time() -> None:
    cpu = builtin().row(CPU)
    assert estimate(LORA, cpu, nodes=1, data=DATA, epochs=3, max_steps=None, effective_batch_size=16) is None


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({}, 1875),  # 10,000 rows x 3 / 16
        ({"epochs": 1}, 625),
        ({"epochs": 0.1}, 63),
        ({"max_steps": 20}, 20),
        ({"max_steps": 5000}, 1875),
        ({"effective": 32}, 939),  # 313 an epoch
    ],
)
def test_steps(given: dict[str, float], steps: int) -> None:
    assert run(**given).steps == steps  # type: ignore[arg-type]
    assert run(replace(LORA, packed=False), **given).steps == steps  # type: ignore[arg-type]


def test_validation_rows_are_measured_before_and_after_each_epoch() -> None:
    held_out = replace(DATA, validation_rows=1000)
    once, thrice = run(data=held_out, epochs=1), run(data=held_out)
    assert thrice.parts["evaluation"] == pytest.approx(2 * once.parts["evaluation"])
    # a tenth of the rows, forward only, four times: less than a tenth of three epochs
    assert 0 < thrice.parts["evaluation"] < 0.1 * thrice.parts["training"]
    assert run().parts["evaluation"] == 0


def test_full_fine_tuning_writes_long_checkpoints() -> None:
    full = run(replace(LORA, method="full", accelerators=4, sharding="fsdp")).parts
    # 10 bytes of each of 8.0 billion weights, written and read back at half a gigabyte a second
    assert full["checkpoints"] / (1 + full["training"] // 600) == pytest.approx(321.2, abs=0.1)
    assert run().parts["checkpoints"] < 0.01 * run().parts["training"]


def test_packing_computes_less_than_padding() -> None:
    padded = replace(LORA, packed=False, micro_batch_size=8)
    assert run(replace(LORA, kernel="flash")).parts["training"] < 0.6 * run(padded).parts["training"]


@pytest.mark.parametrize(
    ("p99", "micro_batch", "tokens"),
    [
        (None, 1, 500),  # one row needs no padding
        (500, 8, 500),  # all of one length
        (50_000, 64, 2048),  # never longer than the longest that is allowed
    ],
)
def test_rows_are_padded_to_the_longest_of_their_micro_batch(p99: int | None, micro_batch: int, tokens: int) -> None:
    assert padded_tokens(replace(DATA, p99_tokens=p99), micro_batch=micro_batch, limit=2048) == tokens


@pytest.mark.parametrize("micro_batch", [2, 4, 8, 32])
@pytest.mark.parametrize("spread", [0.1, 0.6, 0.9])
def test_padding_against_rows_drawn_at_random(spread: float, micro_batch: int) -> None:
    draw = random.Random(0)
    rows = [draw.lognormvariate(6, spread) for _ in range(64_000)]
    padded = [max(rows[start : start + micro_batch]) for start in range(0, len(rows), micro_batch)]
    data = DataFacts(rows=len(rows), tokens=round(sum(rows)), p99_tokens=round(sorted(rows)[63_360]))
    expected = sum(padded) / len(padded)
    assert padded_tokens(data, micro_batch=micro_batch, limit=100_000) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("micro_batch", "measured"), [(2, 1.28), (4, 1.54), (8, 1.81)])
def test_padding_that_was_published(micro_batch: int, measured: float) -> None:
    """Rows of 289 tokens (orca-math; refs_orca of fms-acceleration's benchmarks); docs/sizing.md has both figures."""
    data = DataFacts(rows=8000, tokens=8000 * 289)
    padded = padded_tokens(data, micro_batch=micro_batch, limit=4096) / 289
    assert measured <= padded <= 1.17 * measured


@given(
    rows=st.integers(min_value=50, max_value=100_000),
    mean=st.integers(min_value=5, max_value=2048),
    effective=st.sampled_from([1, 4, 8, 16, 32, 64]),
    accelerators=st.sampled_from([1, 2, 4, 8]),
    packed=st.booleans(),
)
def test_a_step_has_the_examples_that_it_must(
    rows: int, mean: int, effective: int, accelerators: int, packed: bool
) -> None:
    setup = replace(LORA, accelerators=accelerators, packed=packed)
    data = DataFacts(rows=rows, tokens=rows * mean)
    cut = batches(setup, data=data, effective_batch_size=effective)
    assert cut.sequence_tokens <= setup.sequence_length
    assert cut.passes_per_step >= 1
    assert cut.steps_per_epoch >= 1
    # what an epoch computes holds all of its tokens
    computed = cut.steps_per_epoch * cut.passes_per_step * cut.sequence_tokens * accelerators
    assert computed >= 0.99 * rows * mean
    if accelerators <= effective and rows >= effective and mean * 1.5 < setup.sequence_length:
        assert cut.examples_per_step == pytest.approx(effective, rel=0.5)


PRICED = A100.model_copy(update={"price": Price(on_demand=3.0, spot=1.2, date=date(2026, 1, 1))})


@pytest.mark.parametrize(
    ("accelerators", "given", "dollars"),
    [
        (1, {}, 6.0),
        (8, {}, 48.0),
        (1, {"price": 1.0}, 2.0),  # the job's own
        (1, {"spot": True}, 2.46),  # 2.5% longer for what interruptions lose
        (0, {}, None),  # CPUs aren't accounted for
    ],
)
def test_cost(accelerators: int, given: dict[str, float], dollars: float | None) -> None:
    found = cost_usd(7200, PRICED, accelerators=accelerators, **given)  # type: ignore[arg-type]
    assert found == (pytest.approx(dollars) if dollars is not None else None)


def test_a_price_that_is_not_known_is_not_guessed() -> None:
    without = PRICED.model_copy(update={"price": Price(on_demand=3.0, date=date(2026, 1, 1))})
    assert cost_usd(7200, without, accelerators=1, spot=True) is None
    assert cost_usd(7200, PRICED.model_copy(update={"price": None}), accelerators=1) is None


@pytest.mark.parametrize(
    ("size", "rows", "vocabulary", "expected"),
    [
        (1_000_000, 1000, None, (1000, 238_579)),
        (1_000_000, 1000, 128_256, (1000, 238_579)),
        (1_000_000, 1000, 32_000, (1000, 296_530)),
        (1_000_000, None, None, (1000, 238_579)),
        (10, None, None, (1, 1)),
        (0, 0, None, (0, 0)),
    ],
)
def test_tokens_from_bytes(size: int, rows: int | None, vocabulary: int | None, expected: tuple[int, int]) -> None:
    found = tokens_from_bytes(size, rows=rows, vocabulary_size=vocabulary)
    assert (found.rows, found.tokens) == expected
    assert found.estimated


@given(
    rows=st.integers(min_value=1, max_value=1_000_000),
    more=st.integers(min_value=1, max_value=100_000),
    mean=st.floats(min_value=1, max_value=20_000),
    length=st.integers(min_value=8, max_value=8192),
    effective=st.sampled_from([1, 16, 4096]),
    packed=st.booleans(),
    epochs=st.integers(min_value=1, max_value=10),
)
def test_more_data_never_takes_less_time(
    rows: int, more: int, mean: float, length: int, effective: int, packed: bool, epochs: int
) -> None:
    setup = replace(LORA, sequence_length=length, packed=packed)

    def training(count: int) -> Estimate:
        data = DataFacts(rows=count, tokens=round(count * mean), validation_rows=count // 10)
        found = run(setup, data, epochs=epochs, effective=effective)
        assert all(seconds >= 0 for seconds in found.parts.values())
        assert 0 <= found.utilisation < 1
        return found

    less, longer = training(rows), training(rows + more)
    assert longer.steps >= less.steps
    # rounding: of tokens a row, and of the length of packs
    assert longer.parts["training"] >= 0.97 * less.parts["training"]
