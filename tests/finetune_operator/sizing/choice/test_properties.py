"""What holds of every choice, tried against the whole space: nothing that fits is better in all that counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_operator.sizing.choice import rank
from finetune_operator.sizing.choice.arithmetic import MODELS
from finetune_operator.sizing.choice.choose import choose
from finetune_operator.sizing.choice.error import SizingError
from finetune_operator.sizing.choice.option import Option
from finetune_operator.sizing.choice.request import Request
from finetune_operator.sizing.cluster.offer import Availability, Offer, Place
from finetune_operator.sizing.cluster.offers import Available
from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.hardware import Table, builtin
from tests.finetune_operator.sizing.choice.places import cluster
from tests.finetune_operator.sizing.choice.plain import PLAIN, TABLE, request
from tests.finetune_operator.sizing.choice.space import OPTIMIZERS, everything
from tests.finetune_operator.sizing.memory.shapes import architecture


def dominates(one: Option, other: Option) -> bool:
    """Whether `one` is at least as good in everything and better in something; both fit and keep to the limits."""
    better = [
        (one.relative_cost or 0.0, other.relative_cost or 0.0),
        (one.relative_seconds or 0.0, other.relative_seconds or 0.0),
        (one.accelerators, other.accelerators),
        (one.hardware.memory_gib or 0.0, other.hardware.memory_gib or 0.0),
        (OPTIMIZERS.index(one.setup.optimizer), OPTIMIZERS.index(other.setup.optimizer)),
        (int(one.availability), int(other.availability)),
    ]
    return all(mine <= its for mine, its in better) and any(mine < its for mine, its in better)


nodes_of_a_kind = st.lists(
    st.integers(1, 8).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total))), min_size=1, max_size=2
)
clusters = st.dictionaries(st.sampled_from(["Small", "Medium", "Large", "Slice"]), nodes_of_a_kind, max_size=3).map(
    cluster
)
requests = st.builds(
    request,
    st.sampled_from(["full", "lora", "qlora"]),
    training=st.fixed_dictionaries(
        {"packing": st.booleans()},
        optional={
            "effectiveBatchSize": st.sampled_from([1, 2, 6, 8, 12, 16, 24]),
            "microBatchSize": st.sampled_from([1, 2, 3, 8]),
            "gradientCheckpointing": st.booleans(),
            "optimizer": st.sampled_from(OPTIMIZERS),
            "sharding": st.sampled_from(["none", "ddp", "fsdp"]),
            "attention": st.sampled_from(["sdpa", "flashAttention2"]),
            "maxSequenceLength": st.sampled_from([512, 1024, 4096]),
        },
    ),
    resources=st.fixed_dictionaries(
        {},
        optional={
            "accelerator": st.sampled_from(["Small", "Medium", "Large"]),
            "count": st.sampled_from([1, 2, 4]),
            "maxCostUSD": st.sampled_from([2.0, 4.0, 8.0]),
            "maxDurationSeconds": st.sampled_from([1800, 3600, 7200]),
        },
    ),
    max_nodes=st.sampled_from([1, 2]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests, clusters)
def test_the_choice_is_the_best_of_all(asked: Request, there: Available) -> None:
    named = asked.resources.accelerator
    try:
        best = choose(asked, there, TABLE, PLAIN).best
    except SizingError:
        offers = Available(tuple(offer for offer in there.offers if named in (None, offer.hardware.name)))
        for nodes in range(1, asked.max_nodes + 1):
            if asked.resources.nodes in (None, nodes) and not asked_for_nonsense(asked):
                assert not list(everything(asked, offers, PLAIN, nodes))
        return
    if best.count == 0 or not best.offer.places:  # a CPU, or a kind that no node has
        return
    offers = Available(tuple(offer for offer in there.offers if named in (None, offer.hardware.name)))
    others = list(everything(asked, offers, PLAIN, best.nodes))
    assert others
    assert not [other.places for other in others if dominates(other, best)]
    if best.nodes > 1:
        assert not list(everything(asked, offers, PLAIN, 1))
    # free now if anything that fits is
    if best.availability >= Availability.TAKEN and best.setup.optimizer != "pagedAdamw8bit":
        unpaged = [other for other in others if other.setup.optimizer != "pagedAdamw8bit"]
        assert all(other.availability >= Availability.TAKEN for other in unpaged)
    # and as cheap as anything of its class, but for a tie and the preference of adamw
    alike = of_its_class(best, others)
    cheapest = min(rank.size(other, priced=True) for other in alike)
    assert rank.size(best, priced=True) <= cheapest * rank.TIE * (1 + 1e-9)


def of_its_class(best: Option, others: list[Option]) -> list[Option]:
    """With the best optimizer that will do on the same accelerators."""

    def place(option: Option) -> tuple[str, int]:
        return option.hardware.name, option.accelerators

    plainest = {
        place(other): min(OPTIMIZERS.index(each.setup.optimizer) for each in others if place(each) == place(other))
        for other in others
    }
    return [
        other
        for other in others
        if rank.kind(other, priced=True) == rank.kind(best, priced=True)
        and OPTIMIZERS.index(other.setup.optimizer) == plainest[place(other)]
    ]


def asked_for_nonsense(asked: Request) -> bool:
    """Contradictions are refused before anything is looked at."""
    training, count = asked.training, asked.resources.count
    return (
        (training.sharding == "fsdp" and training.optimizer not in (None, "adamw"))
        or (count is not None and count > 1 and training.sharding == "none")
        or (count is not None and not asked.packed and asked.effective_batch_size % count != 0)
        or (count is not None and count > asked.effective_batch_size)
        or (count == asked.max_nodes == 1 and training.sharding in ("ddp", "fsdp"))
    )


@settings(max_examples=150, deadline=None)
@given(requests, clusters)
def test_what_was_asked_for_is_kept_and_fits(asked: Request, there: Available) -> None:
    try:
        choice = choose(asked, there, TABLE, PLAIN)
    except SizingError:
        return
    best, training, resources = choice.best, asked.training, asked.resources
    setup = best.setup
    workers = max(1, best.accelerators)
    if not setup.packed:
        assert setup.micro_batch_size * setup.accumulation * workers == asked.effective_batch_size
        if training.micro_batch_size is not None:
            assert setup.micro_batch_size <= training.micro_batch_size
    assert setup.accelerators == workers
    assert asked.effective_batch_size % workers == 0 or setup.packed
    if best.available_bytes is not None:
        assert best.prediction.required <= best.available_bytes
    assert training.gradient_checkpointing in (None, setup.gradient_checkpointing)
    assert training.optimizer in (None, setup.optimizer)
    assert setup.sequence_length == asked.max_sequence_length
    assert resources.accelerator in (None, best.hardware.name)
    if best.count:
        assert resources.count in (None, best.count)
        assert training.sharding in (None, setup.sharding)
    if resources.max_cost_usd is not None:
        assert best.cost_usd is not None
        assert best.cost_usd <= resources.max_cost_usd
    if resources.max_duration_seconds is not None:
        assert best.seconds is not None
        assert best.seconds <= resources.max_duration_seconds
    assert len(choice.alternatives) <= 3
    places = [best.places, *(lost.option.places for lost in choice.alternatives)]
    assert len(set(places)) == len(places)
    assert all(lost.why for lost in choice.alternatives)


DATA = DataFacts(rows=5000, tokens=2_000_000, longest_tokens=1800, p99_tokens=1200)


def real_cluster(*names: str, table: Table) -> Available:
    """A node of four of each."""
    return Available(tuple(Offer(table.row(name), (Place(name, 4, 4),)) for name in names))


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("training", [{}, {"packing": False}, {"packing": False, "effectiveBatchSize": 32}])
@pytest.mark.parametrize("model", ["llama-1b", "llama-8b"])
def test_with_the_real_models(model: str, method: Any, training: dict[str, Any]) -> None:
    """Nothing is skipped that the real models of memory and time would have found better."""
    table = builtin()
    asked = Request(
        method=method,
        architecture=architecture(model),
        training=request(training={"packing": True, **training}).training,
        data=DATA,
    )
    there = real_cluster("T4", "L4", "A100-80GB", "H200", table=table)
    best = choose(asked, there, table, MODELS).best
    others = list(everything(asked, there, MODELS, 1))
    assert not [(other.places, other.setup) for other in others if dominates(other, best)]
    assert rank.best(of_its_class(best, others), priced=True).places == best.places
