"""What was read is what is trained with, whatever becomes of a branch meanwhile."""

from __future__ import annotations

import pytest

from finetune_api.job import FineTuneJob
from finetune_api.status import ResolvedInputs
from finetune_operator.reconcile.inspect import inspect_config
from finetune_operator.reconcile.pin import pinned
from tests.finetune_operator.reconcile.objects import finetune_job

MODEL, DATA = "c0ffee", "decade"
HUB = {"source": "hf://org/data", "revision": "v1"}


@pytest.mark.parametrize(
    ("dataset", "train", "validation"),
    [
        ({"train": HUB}, DATA, None),
        ({"train": HUB, "validation": {"source": "hf://org/data", "split": "test"}}, DATA, DATA),
        ({"train": HUB, "validation": {"source": "hf://org/other"}}, DATA, "main"),
        ({"train": {"source": "pvc://data/train.jsonl"}}, None, None),
    ],
)
def test_the_commits_that_were_read(dataset: dict[str, object], train: str | None, validation: str | None) -> None:
    config = inspect_config(FineTuneJob.from_object(finetune_job(dataset=dataset)))
    found = pinned(config, ResolvedInputs(model_revision=MODEL, dataset_revision=DATA))
    assert found.model.source.revision == MODEL
    assert found.dataset.train.revision == train
    assert (found.dataset.validation.revision if found.dataset.validation is not None else None) == validation


@pytest.mark.parametrize("known", [None, ResolvedInputs()])
def test_what_is_not_known_is_as_the_user_wrote_it(known: ResolvedInputs | None) -> None:
    config = inspect_config(FineTuneJob.from_object(finetune_job(dataset={"train": HUB})))
    found = pinned(config, known)
    assert (found.model.source.revision, found.dataset.train.revision) == ("main", "v1")
