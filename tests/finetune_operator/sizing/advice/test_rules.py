"""Advice: for each rule, what calls it forth and what doesn't."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.spec import FineTuneJobSpec
from finetune_operator.sizing.advice import RULES, Case, advise
from finetune_operator.sizing.architecture import Architecture, Linear
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import Price, builtin
from finetune_operator.sizing.setup import Setup
from finetune_operator.sizing.speed import estimate

LARGE = Architecture(
    model_type="llama",
    hidden_size=4096,
    layers=32,
    vocabulary_size=128256,
    attention_heads=32,
    key_value_heads=8,
    head_dim=128,
    intermediate_size=14336,
    linears=(Linear("all", 4096, 53248, 32, part="mlp"),),
    tied_embeddings=False,
    other_parameters=266240,
    max_positions=8192,
)
TINY = replace(
    LARGE, layers=2, linears=(replace(LARGE.linears[0], inputs=128, outputs=1024, layers=2),), hidden_size=128
)
EXPERTS = replace(
    LARGE,
    linears=(
        Linear("q_proj", 4096, 4096, 32, part="attention"),
        Linear("gate_up_proj", 4096, 4096, 32, part="mlp", copies=32, active=2, module=False),
    ),
)
HALF = replace(EXPERTS, linears=(EXPERTS.linears[0], replace(EXPERTS.linears[1], copies=1)), vocabulary_size=100)
WIDE = replace(LARGE, linears=(EXPERTS.linears[0],), vocabulary_size=1_000_000)
ENOUGH = DataFacts(rows=5000, tokens=2_500_000, longest_tokens=1800, p99_tokens=1500)


def case(
    data: DataFacts = ENOUGH,
    architecture: Architecture | None = LARGE,
    *,
    method: str = "lora",
    dataset: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Case:
    source = {"train": {"source": "pvc://data/train.jsonl"}, "validation": {"fraction": 0.1}}
    return Case(
        spec=FineTuneJobSpec.model_validate(
            {
                "model": {"source": "pvc://models/llama"},
                "method": method,
                "dataset": source | dict(dataset or {}),
                **spec,
            }
        ),
        data=data,
        architecture=architecture,
        max_sequence_length=2048,
    )


def codes(of: Case) -> list[str]:
    return [advice.code for advice in advise(of)]


def message(of: Case, code: str) -> str:
    return {advice.code: advice.message for advice in advise(of)}[code]


def test_a_sensible_job_is_left_alone() -> None:
    assert codes(case()) == []
    assert codes(case(method="qlora", training={"learningRate": 2e-4, "warmupSteps": 60})) == []


def test_nothing_is_said_about_what_is_not_known() -> None:
    blind = case(DataFacts(), None, method="full", training={"learningRate": 1.0, "epochs": 50, "warmupSteps": 1})
    assert codes(blind) == []


def rows(count: int, **given: Any) -> DataFacts:
    return DataFacts(rows=count, tokens=count * 500, **given)


def timed(of: Case) -> Case:
    """With the time of a run on an A100, as sizing would have it."""
    setup = Setup(LARGE, "lora", 1, 2048, True)
    found = estimate(
        setup,
        builtin().row("A100-80GB"),
        nodes=1,
        data=of.data,
        epochs=3,
        max_steps=None,
        effective_batch_size=16,
    )
    return replace(of, estimate=found)


@pytest.mark.parametrize(
    ("of", "said"),
    [
        # rows
        (case(rows(99), training={"effectiveBatchSize": 8}), ["TooFewRows"]),
        (case(rows(100), training={"effectiveBatchSize": 8}), ["TooFewRows"]),
        (case(rows(999)), ["TooFewRows"]),
        (case(rows(1000)), []),
        (case(rows(99), TINY, training={"effectiveBatchSize": 8}), []),  # the quickstart's cannot be prompted
        (case(rows(99), dataset={"format": "text"}, training={"epochs": 4}), ["TooManyEpochs", "FactsNeedRetrieval"]),
        # full fine-tuning
        (case(method="full"), ["FullWhereLoRA"]),
        (case(rows(100_000), method="full"), []),
        (case(DataFacts(), method="full"), ["FullWhereLoRA"]),
        (case(DataFacts(), method="full", dataset={"format": "text"}), []),
        (case(architecture=TINY, method="full"), []),
        # a mixture of experts, 3% of which are layers
        (case(architecture=EXPERTS, method="qlora"), ["QuantizesLittle"]),
        (case(architecture=EXPERTS, method="lora"), []),
        (case(architecture=HALF, method="qlora"), []),
        (case(architecture=WIDE, method="qlora"), []),  # a large vocabulary, but nothing that lora could do better
        # learning rate
        (case(training={"learningRate": 1e-4}), []),
        (case(training={"learningRate": 3e-4}), []),
        (case(training={"learningRate": 9e-5}), ["LearningRateOutside"]),
        (case(training={"learningRate": 1e-3}), ["LearningRateOutside"]),
        (case(architecture=TINY, training={"learningRate": 1e-3}), []),  # the quickstart's
        (case(rows(200_000), method="full", training={"learningRate": 2e-5}), []),
        (case(rows(200_000), method="full", training={"learningRate": 2e-4}), ["LearningRateOutside"]),
        (case(method="ia3", training={"learningRate": 3e-3}), []),  # IA3's own range is another
        # epochs
        (case(training={"epochs": 5}), []),
        (case(training={"epochs": 6}), ["TooManyEpochs"]),
        (case(rows(900), training={"epochs": 3}), ["TooFewRows"]),
        (case(rows(900), training={"epochs": 4}), ["TooFewRows", "TooManyEpochs"]),
        (case(training={"epochs": 100, "maxSteps": 300}), []),  # less than one pass
        (case(architecture=TINY, training={"epochs": 8}), []),
        # steps
        (case(training={"maxSteps": 19}), ["ShortRun"]),
        (case(training={"maxSteps": 20}), []),
        (case(rows(64), training={"effectiveBatchSize": 16}), ["TooFewRows", "ShortRun"]),
        (case(rows(50), training={"effectiveBatchSize": 4}), ["TooFewRows"]),  # no larger batch: that makes a short run
        # rank
        (case(adapter={"rank": 64}), []),
        (case(adapter={"rank": 65}), ["RankForData"]),
        (case(rows(100_000), adapter={"rank": 256}), []),
        (case(rows(900), adapter={"rank": 32}), ["TooFewRows", "RankForData"]),
        (case(rows(900), adapter={"rank": 16}), ["TooFewRows"]),
        (case(method="ia3"), []),
        # batch
        (case(training={"effectiveBatchSize": 8}), []),
        (case(training={"effectiveBatchSize": 32}), []),
        (case(training={"effectiveBatchSize": 4}), ["BatchOutside"]),
        (case(training={"effectiveBatchSize": 64}), ["BatchOutside"]),
        # warmup, of 938 steps
        (case(training={"warmupSteps": 50}), []),
        (case(training={"warmupSteps": 28}), ["WarmupOutside"]),
        (case(training={"warmupSteps": 0}), ["WarmupOutside"]),
        (case(training={"warmupSteps": 100}), []),
        (case(training={"warmupSteps": 200}), ["WarmupOutside"]),
        (case(training={"warmupRatio": 0.05}), []),
        (case(training={"warmupRatio": 0.5}), ["WarmupOutside"]),
        (case(training={"warmupSteps": 3, "maxSteps": 100}), []),
        (case(training={"warmupSteps": 60, "scheduler": "constant"}), ["WarmupOutside"]),
        (case(training={"warmupSteps": 0, "scheduler": "constant"}), []),
        (case(training={"warmupRatio": 0.05, "scheduler": "constantWithWarmup"}), []),
        # lengths
        (case(rows(5000, lost_tokens=20_000)), []),  # 0.8%
        (case(rows(5000, lost_tokens=30_000)), ["SequenceCutsData"]),
        (case(training={"maxSequenceLength": 8192, "packing": False}), ["SequenceTooLong"]),
        (case(training={"maxSequenceLength": 8192}), []),  # packs are filled, whatever their length
        (case(training={"maxSequenceLength": 3000, "packing": False}), []),
        # data
        (case(dataset={"validation": None}), ["NoValidation"]),
        (
            case(rows(40), dataset={"validation": None}, training={"effectiveBatchSize": 4}),
            ["TooFewRows"],
        ),
        (case(dataset={"format": "text"}), ["FactsNeedRetrieval"]),
        (case(rows(100_000), dataset={"format": "text"}), []),
        (case(rows(99, format="text"), training={"epochs": 4}), ["TooManyEpochs", "FactsNeedRetrieval"]),  # as detected
        (case(rows(900, format="alpaca")), ["TooFewRows"]),
        (case(DataFacts(), dataset={"format": "text"}), []),
        (timed(case(rows(5000, estimated=True))), ["EstimatedTokens"]),
        (case(rows(5000, estimated=True)), []),  # neither time nor cost is said
    ],
)
def test_rules(of: Case, said: list[str]) -> None:
    assert codes(of) == said


def test_how_little_is_quantised() -> None:
    assert message(case(architecture=EXPERTS, method="qlora"), "QuantizesLittle") == (
        "qlora can hold 3% of this model's 18.8 billion parameters in 4 bits: 92% are experts', which stay in 16; its "
        "weights take 2% less memory than with method lora, which is faster and exact"
    )


PRICE = Price(on_demand=3.0, date=date(2025, 1, 1))
PRICED = builtin().row("A100-80GB").model_copy(update={"price": PRICE})


@pytest.mark.parametrize(
    ("today", "own", "said"),
    [
        (date(2026, 1, 1), None, []),
        (date(2026, 1, 2), None, ["PricesOld"]),
        (date(2026, 1, 2), 2.5, []),  # the table's is not used
    ],
)
def test_old_prices(today: date, own: float | None, said: list[str]) -> None:
    asked = case(resources={"priceUSDPerHour": own})
    assert codes(replace(asked, hardware=PRICED, today=today)) == said


def test_checkpoints_that_take_long_name_a_longer_interval() -> None:
    data = rows(100_000)

    def of(**spec: Any) -> Case:
        setup = Setup(LARGE, "full", 1, 2048, True, accelerators=4, sharding="fsdp")
        asked = case(data, method="full", **spec)
        found = estimate(
            setup,
            PRICED,
            nodes=1,
            data=data,
            epochs=3,
            max_steps=None,
            effective_batch_size=16,
        )
        return replace(asked, estimate=found)

    assert codes(of()) == ["CheckpointsTakeLong"]
    assert "checkpoint.intervalSeconds 3000" in message(of(), "CheckpointsTakeLong")
    assert codes(of(checkpoint={"intervalSeconds": 3000})) == []


@pytest.mark.parametrize(
    ("of", "code", "parts"),
    [
        (case(rows(52)), "TooFewRows", ["52 rows", "prompt", "500 to 1,000"]),
        (case(rows(300)), "TooFewRows", ["300 rows", "500 are a floor", "measure both"]),
        (case(method="full"), "FullWhereLoRA", ["8.0 billion", "forgets", "12 bytes", "needs 2", "5 to 10%"]),
        (
            case(rows(5000, lost_tokens=300_000, p99_tokens=3100)),
            "SequenceCutsData",
            ["maxSequenceLength 2,048", "11%", "300,000", "ends of responses", "3,100", "3136 would hold them"],
        ),
        (
            case(rows(5000, lost_tokens=300_000), dataset={"format": "text"}),
            "SequenceCutsData",
            ["which are the ends of documents; make it longer, or split the rows"],
        ),
        (
            case(rows(5000, lost_tokens=300_000, p99_tokens=9000)),
            "SequenceCutsData",
            ["the model can do 8,192", "split the rows"],
        ),
        (
            case(rows(5000, lost_tokens=300_000), dataset={"quality": {"overlong": "drop"}}),
            "SequenceCutsData",
            ["drops rows with 11%"],
        ),
        (case(training={"learningRate": 1e-3}), "LearningRateOutside", ["0.001", "above", "0.0001 to 0.0003", "jump"]),
        (case(training={"learningRate": 1e-6}), "LearningRateOutside", ["below", "little is learnt"]),
        (case(training={"epochs": 10}), "TooManyEpochs", ["10 passes", "training.epochs 2 or 3"]),
        (case(training={"maxSteps": 1}), "ShortRun", ["1 optimizer step in all", "raise training.maxSteps"]),
        (case(training={"warmupSteps": 60, "scheduler": "constant"}), "WarmupOutside", ["does nothing", "WithWarmup"]),
        (case(rows(50_000), dataset={"validation": None}), "NoValidation", ["{fraction: 0.01}"]),
        (case(rows(1_000_000), dataset={"validation": None}), "NoValidation", ["{fraction: 0.0005}"]),
        (case(rows(400), dataset={"validation": None}), "NoValidation", ["{fraction: 0.1}"]),
        (case(adapter={"rank": 256}), "RankForData", ["adapter.rank 256"]),
        (case(training={"warmupSteps": 0}), "WarmupOutside", ["0 of 938 steps", "28 to 100"]),
        (
            case(training={"maxSequenceLength": 8192, "packing": False}),
            "SequenceTooLong",
            ["8,192", "1,800 tokens", "1856 is enough"],
        ),
    ],
)
def test_messages_have_the_numbers_and_what_to_do(of: Case, code: str, parts: list[str]) -> None:
    said = message(of, code)
    assert [part for part in parts if part not in said] == []
    assert len(said) < 400


@pytest.mark.parametrize(
    ("of", "remedies"),
    [
        (case(rows(64)), "lower training.effectiveBatchSize (16) or collect more rows"),
        (
            case(rows(64), training={"epochs": 1}),
            "lower training.effectiveBatchSize (16) or raise training.epochs or collect more rows",
        ),
        (case(rows(16), training={"effectiveBatchSize": 4}), "collect more rows"),
        (case(training={"maxSteps": 5}), "raise training.maxSteps"),
    ],
)
def test_a_short_run_is_told_nothing_that_another_rule_is_against(of: Case, remedies: str) -> None:
    assert message(of, "ShortRun").endswith(f"when it falls again; {remedies}")


@given(
    count=st.integers(1, 200_000),
    batch=st.sampled_from([1, 2, 4, 8, 16, 32, 64, 256]),
    epochs=st.sampled_from([0.5, 1, 2, 3, 5, 8]),
)
def test_no_two_pull_on_the_batch_in_both_ways(count: int, batch: int, epochs: float) -> None:
    of = case(rows(count), training={"effectiveBatchSize": batch, "epochs": epochs})
    said = {advice.code: advice.message for advice in advise(of)}
    larger = batch < 8 and "BatchOutside" in said
    assert not (larger and "ShortRun" in said)
    assert not ("TooManyEpochs" in said and "raise training.epochs" in said.get("ShortRun", ""))
    if larger:  # what it asks for is not advised against
        assert "ShortRun" not in codes(case(rows(count), training={"effectiveBatchSize": 8, "epochs": epochs}))


def test_every_rule_is_tried_above() -> None:
    tried = {mark for test in (test_rules, test_old_prices) for mark in _said(test)} | {"CheckpointsTakeLong"}
    assert tried == {rule.code for rule in RULES}


def _said(test: Any) -> set[str]:
    (mark,) = test.pytestmark
    return {code for each in mark.args[1] for code in each[-1]}


def test_the_most_important_comes_first_and_each_once() -> None:
    worst = case(
        rows(900, lost_tokens=300_000, estimated=True),
        method="full",
        dataset={"validation": None},
        training={"learningRate": 1.0, "epochs": 50, "effectiveBatchSize": 4096, "warmupSteps": 0},
    )
    order = [rule.code for rule in RULES]
    said = codes(worst)
    assert said == sorted(set(said), key=order.index)
    assert said[:2] == ["TooFewRows", "FullWhereLoRA"]
