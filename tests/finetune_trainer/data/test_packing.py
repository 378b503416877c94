"""Packs equal TRL's, and hold the effective batch on average."""

from __future__ import annotations

import random

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from trl import pack_dataset

from finetune_trainer.data.packing import pack, plan
from finetune_trainer.settings import batching


def trl_packs(lengths: list[int], pack_length: int) -> list[list[int]]:
    """Every token of an example is its number, so that its packs can be read back."""
    rows = Dataset.from_dict({"input_ids": [[number] * length for number, length in enumerate(lengths)]})
    packed = pack_dataset(rows, pack_length, "bfd", map_kwargs={"batch_size": len(lengths)})
    return [
        [row["input_ids"][sum(row["seq_lengths"][:place])] for place in range(len(row["seq_lengths"]))]
        for row in packed
    ]


@pytest.mark.parametrize("seed", range(6))
def test_as_trl_does(seed: int) -> None:
    generator = random.Random(seed)
    pack_length = generator.choice([1, 7, 64, 100])
    lengths = [generator.randint(1, pack_length) for _ in range(generator.choice([1, 5, 300]))]
    assert pack(lengths, pack_length) == trl_packs(lengths, pack_length)


@settings(max_examples=200)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=60), pack_length=st.integers(1, 40))
def test_every_example_once_and_none_too_long(lengths: list[int], pack_length: int) -> None:
    packs = pack(lengths, pack_length)
    assert sorted(number for each in packs for number in each) == list(range(len(lengths)))
    for each in packs:
        assert sum(lengths[number] for number in each) <= pack_length or len(each) == 1


@pytest.mark.parametrize(
    ("lengths", "batch", "longest", "world", "packs_per_step"),
    [
        ([50] * 600, 16, 4096, 1, 1),  # 81 in a full pack: packs are shortened
        ([50] * 600, 16, 4096, 4, 4),
        ([1000] * 600, 16, 4096, 1, 4),  # 4 in a pack, exactly
        ([900] * 600, 16, 2048, 2, 8),
        ([4096] * 64, 16, 4096, 1, 16),  # nothing to pack
        ([50] * 599 + [4096], 16, 4096, 1, 1),  # one long row must not make 81 short ones share a pack
        ([1500, 600] * 300, 8, 2048, 1, 6),  # 1.33 in a pack
        ([30] * 40, 1, 2048, 1, 1),
    ],
)
def test_effective_batch(lengths: list[int], batch: int, longest: int, world: int, packs_per_step: int) -> None:
    found = plan(lengths, effective_batch_size=batch, max_length=longest, world_size=world)
    assert found.packs_per_step == packs_per_step
    assert found.examples_per_step == pytest.approx(batch, rel=0.06)
    assert sorted(number for each in found.packs for number in each) == list(range(len(lengths)))
    assert max(sum(lengths[number] for number in each) for each in found.packs) <= longest


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=150),
    batch=st.integers(1, 32),
    world=st.sampled_from([1, 2, 4]),
    micro=st.sampled_from([1, 2]),
)
def test_packs_per_step_can_be_shared(lengths: list[int], batch: int, world: int, micro: int) -> None:
    found = plan(lengths, effective_batch_size=batch, max_length=200, world_size=world, micro_batch_size=micro)
    assert found.packs_per_step % (world * micro) == 0
    # never fewer examples per step than one pack's worth below what was asked for, where there are that many
    if batch >= world * micro:
        assert found.examples_per_step >= batch * 0.5 or len(found.packs) < found.packs_per_step


@pytest.mark.parametrize("processes", [1, 2, 4, 8])
@pytest.mark.parametrize("batch", [8, 16, 64])
@pytest.mark.parametrize(
    "lengths",
    [
        pytest.param([20 + number % 40 for number in range(600)], id="short"),
        pytest.param([500 + number * 7 % 500 for number in range(600)], id="long"),
        pytest.param([4 + number * number % 1000 for number in range(600)], id="mixed"),
        pytest.param([1024] * 128, id="full"),
    ],
)
def test_every_process_gets_its_share_of_the_effective_batch(lengths: list[int], batch: int, processes: int) -> None:
    found = plan(lengths, effective_batch_size=batch, max_length=1024, world_size=processes)
    assert found.examples_per_step == pytest.approx(batch, rel=0.06)
    for one_by_one in (True, False):
        cut = batching(per_step=found.packs_per_step, micro_batch_size=4, processes=processes, one_by_one=one_by_one)
        assert cut.micro_batch_size * cut.accumulation * processes == found.packs_per_step


def test_more_processes_than_the_batch_has_examples() -> None:
    found = plan([10] * 64, effective_batch_size=2, max_length=100, world_size=4)
    assert (found.packs_per_step, found.examples_per_step) == (4, 4.0)
