"""How rows become packs, as it is foreseen, against the trainer that packs them."""

import random
from dataclasses import replace
from statistics import fmean

import pytest

from finetune_operator.sizing.facts import DataFacts
from finetune_operator.sizing.speed.batches import batches
from finetune_trainer.data import packing
from tests.finetune_operator.sizing.speed.shapes import LORA


@pytest.mark.parametrize("effective", [8, 16, 64])
@pytest.mark.parametrize("accelerators", [1, 4])
@pytest.mark.parametrize(
    ("rows", "typical", "limit"),
    [(300, 60, 2048), (3000, 300, 2048), (3000, 900, 2048), (3000, 200, 512), (150, 300, 2048)],
)
def test_packs(rows: int, typical: int, limit: int, accelerators: int, effective: int) -> None:
    draw = random.Random(rows * typical)
    lengths = [max(1, min(limit, round(draw.lognormvariate(0, 0.6) * typical))) for _ in range(rows)]
    plan = packing.plan(lengths, effective_batch_size=effective, max_length=limit, world_size=accelerators)
    packs = [sum(lengths[number] for number in pack) for pack in plan.packs]

    setup = replace(LORA, sequence_length=limit, accelerators=accelerators)
    data = DataFacts(rows=rows, tokens=sum(lengths))
    cut = batches(setup, data=data, effective_batch_size=effective)
    steps = -(-len(packs) // plan.packs_per_step)
    assert abs(cut.steps_per_epoch - steps) <= max(1, 0.05 * steps)
    passes = cut.steps_per_epoch * cut.passes_per_step * accelerators
    assert passes == pytest.approx(len(packs), rel=0.08, abs=accelerators)
    assert cut.sequence_tokens == pytest.approx(fmean(packs), rel=0.1)
