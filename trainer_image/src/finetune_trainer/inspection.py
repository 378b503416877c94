"""The recipe that trains nothing: what the model and the data are, told before a GPU is taken.

What it does: fetches the model's configuration and tokenizer (not its weights) and the data, with the secrets of the
run; finds what the recipe of training would stumble over in them; counts rows and tokens by the rules of training.
Of data above FILE_BYTES the first files are read, and what is above TOKENS is not made into tokens: then the numbers
are estimated from what was.

What it doesn't: load weights, use a GPU, pack, write anything that outlives it.

The supervisor starts it as `python -m finetune_trainer.inspection`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.contract import DATASET_TOKEN_ENV, MODEL_TOKEN_ENV, Outcome, Result, SourceConfig, TrainerConfig
from finetune_api.inspection import Inspection
from finetune_api.model_keys import shortened
from finetune_api.schema import DatasetFormat
from finetune_api.status import ResolvedInputs
from finetune_trainer import process
from finetune_trainer.failure import Failure, from_exception
from finetune_trainer.interruption import Interruption
from finetune_trainer.progress import Reporter
from finetune_trainer.rundir import WorkDir

if TYPE_CHECKING:
    from finetune_trainer.data.examples import Tokenising
    from finetune_trainer.data.measure import Measured, Side

FILE_BYTES = 2 << 30
"""Of data in several files so much is fetched and read, a whole file at least."""
TOKENS = 20_000_000
"""So many are counted: half a minute to two."""
PROCESSES = 4
"""At most so many tokenise, whatever the node has: each takes some 200 MB of the pod's memory."""

log = logging.getLogger("finetune_trainer")


def recipe(
    config: TrainerConfig,
    work: WorkDir,
    interruption: Interruption,  # noqa: ARG001  SIGTERM is heard at once: there is nothing to save
    reporter: Reporter,
    *,
    rank: int,  # noqa: ARG001  there is but one
) -> Result:
    """Run it. Raises Failure, or whatever the libraries raise."""
    reporter.stage("Loading")
    from finetune_trainer import model
    from finetune_trainer.data.examples import Tokenising
    from finetune_trainer.data.length import limit
    from finetune_trainer.sources import fetch_description

    cache = work.run / "cache"
    token = os.environ.get(MODEL_TOKEN_ENV) or None
    with _no_fault_of_the_job():
        described = fetch_description(config.model.source, token=token, cache=cache)
    trust = config.model.trust_remote_code
    architecture = model.load_config(described.path, trust_remote_code=trust)
    tokenizer = model.load_tokenizer(described.path, trust_remote_code=trust)
    longest = limit(config.training.max_sequence_length, tokenizer, model.positions(architecture))

    counting = Tokenising(config.dataset, tokenizer, longest=longest, seed=config.training.seed)
    train = _read(counting, config.dataset.train, "train", cache, reporter)
    validation = None
    if config.dataset.validation is not None:
        validation = _read(counting, config.dataset.validation, "validation", cache, reporter)
    here, held = _sides(train, validation, config.dataset.validation_fraction)
    estimated = train.estimated or (validation is not None and validation.estimated)

    reporter.stage("Done")
    about = "about " if estimated else ""
    return Result(
        outcome=Outcome.SUCCEEDED,
        reason="Inspected",
        message=f"{about}{here.rows:,} examples with {here.tokens:,} tokens to train on",
        resolved=ResolvedInputs(model_revision=described.revision, dataset_revision=train.revision),
        inspection=Inspection(
            model=shortened(json.loads((described.path / "config.json").read_text(encoding="utf-8"))),
            model_bytes=described.weight_bytes,
            format=train.format,
            rows=here.rows,
            tokens=here.tokens,
            trained_tokens=here.trained_tokens,
            lost_tokens=here.lost_tokens,
            longest_tokens=here.longest,
            p99_tokens=here.p99,
            max_sequence_length=longest,
            validation_rows=held.rows if held is not None else None,
            validation_tokens=held.tokens if held is not None else None,
            estimated=estimated,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Data:
    """One source of rows, as far as it was read: `share` of its bytes."""

    measured: Measured
    share: float
    revision: str | None
    format: DatasetFormat

    @property
    def estimated(self) -> bool:
        return self.share < 1 or self.measured.scale > 1


def _read(counting: Tokenising, source: SourceConfig, split: str, cache: Path, reporter: Reporter) -> _Data:
    from finetune_trainer.data.measure import measure
    from finetune_trainer.data.workers import available
    from finetune_trainer.sources import fetch_dataset

    token = os.environ.get(DATASET_TOKEN_ENV) or os.environ.get(MODEL_TOKEN_ENV) or None
    first = _FirstFiles(FILE_BYTES)
    with _no_fault_of_the_job():
        found = fetch_dataset(source, token=token, cache=cache, default_split=split, choose=first)
    processes = min(available(), PROCESSES)
    measured = measure(counting, found.path, most_tokens=TOKENS, processes=processes, alive=reporter.heartbeat)
    log.info("%s: %s", source.uri, measured.counts)
    _, shape = next(counting.rows(found.path))
    return _Data(measured, first.share, found.revision, shape.name)


def _sides(train: _Data, validation: _Data | None, fraction: float | None) -> tuple[Side, Side | None]:
    """What is trained on and what is held out, as training will have it."""
    if validation is not None:
        return train.measured.whole(train.share), validation.measured.whole(validation.share)
    if fraction:
        return train.measured.divided(fraction, train.share)
    return train.measured.whole(train.share), None


class _FirstFiles:
    """Chooses files in the order in which they are read, up to so many bytes; knows what share of all they are."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self.share = 1.0

    def __call__(self, sizes: Mapping[str, int]) -> list[str]:
        chosen: list[str] = []
        taken = 0
        for name in sorted(sizes):
            if chosen and taken + sizes[name] > self._most:
                break
            chosen.append(name)
            taken += sizes[name]
        if taken:
            self.share = taken / sum(sizes.values())
        return chosen


@contextmanager
def _no_fault_of_the_job() -> Iterator[None]:
    """What doesn't fit here fits on the job's volume, perhaps: it must not fail for it."""
    try:
        yield
    except (Failure, OSError) as error:
        known = from_exception(error)
        if known.reason == "DiskFull":
            what = known.message.partition(";")[0]
            message = f"the node that reads the inputs has too little room for them: {what}"
            raise Failure(Outcome.TRANSIENT, "DiskFull", message) from error
        raise


if __name__ == "__main__":
    process.main(recipe)
