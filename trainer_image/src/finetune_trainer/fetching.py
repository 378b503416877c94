"""All inputs of a run on disk, each at the revision that the first start took."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from finetune_api.contract import DATASET_TOKEN_ENV, MODEL_TOKEN_ENV, TrainerConfig
from finetune_api.status import ResolvedInputs
from finetune_trainer.inputs import pin, pinned
from finetune_trainer.rundir import WorkDir
from finetune_trainer.sources import fetch_dataset, fetch_model

_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where the inputs lie, and which they are."""

    model: Path
    train: Path
    validation: Path | None
    resolved: ResolvedInputs


@contextmanager
def rank_0_first(work: WorkDir, rank: int) -> Iterator[None]:
    """The block is run by rank 0 alone, then by the others, which find its work done.

    They wait for a file: a collective operation would time out during a long download.
    """
    while rank and not work.ready.exists():
        time.sleep(_POLL_SECONDS)
    yield
    if not rank:
        work.ready.touch()


def fetch(config: TrainerConfig, work: WorkDir) -> Inputs:
    """Get what isn't there yet. Raises what `sources` raises."""
    token = os.environ.get(MODEL_TOKEN_ENV) or None
    data_token = os.environ.get(DATASET_TOKEN_ENV) or token
    work.cache.mkdir(parents=True, exist_ok=True)

    wanted = config.model.source
    model = fetch_model(pinned(work.inputs, "model", wanted), token=token, cache=work.cache)
    pin(work.inputs, "model", wanted, model.revision)

    wanted = config.dataset.train
    train = fetch_dataset(pinned(work.inputs, "train", wanted), token=data_token, cache=work.cache)
    pin(work.inputs, "train", wanted, train.revision)

    validation: Path | None = None
    if config.dataset.validation is not None:
        wanted = config.dataset.validation
        found = fetch_dataset(
            pinned(work.inputs, "validation", wanted), token=data_token, cache=work.cache, default_split="validation"
        )
        pin(work.inputs, "validation", wanted, found.revision)
        validation = found.path
    resolved = ResolvedInputs(model_revision=model.revision, dataset_revision=train.revision)
    return Inputs(model=model.path, train=train.path, validation=validation, resolved=resolved)
