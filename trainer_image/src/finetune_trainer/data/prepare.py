"""The training and validation data of a job, ready to be trained on.

The same configuration and files give the same rows in the same order, which a resume depends on. The result is kept
in the work directory under a name made from both, so that a resume, and every process but the first, only maps it
into memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from transformers import PreTrainedTokenizerBase

from finetune_api.contract import TrainerConfig
from finetune_trainer.data import packing, split, workers
from finetune_trainer.data.examples import Tokenising
from finetune_trainer.data.length import limit
from finetune_trainer.data.readers import data_files
from finetune_trainer.data.report import Counts
from finetune_trainer.data.store import TokenStore

log = logging.getLogger(__name__)

# Raised when the same inputs would give other tokens than before: what an older trainer left is then not used.
_LAYOUT = 1
_BUILDING = "building-tokens"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows have input_ids and labels (-100 where the loss doesn't count), and seq_lengths if `packed`."""

    train: datasets.Dataset
    validation: datasets.Dataset | None
    max_length: int
    """Longest example, in tokens."""
    packed: bool
    pack_length: int
    """Tokens that a pack is filled up to; `max_length` unless packs were shortened."""
    packs_per_step: int | None
    """Rows of `train` per optimizer step over all processes; None unless packed: effectiveBatchSize then."""
    examples_per_step: float
    """Mean number of examples per optimizer step."""
    counts: Counts
    """Of what was read as training data, before the split."""
    train_counts: Counts
    """Of what is trained on."""
    validation_counts: Counts | None
    digest: str
    """Of the training rows in their order: a checkpoint is only good for a run with the same one."""

    @property
    def rows(self) -> int:
        """Examples trained on, however they are packed."""
        return self.train_counts.examples

    @property
    def tokens(self) -> int:
        """Of the training examples, prompts included."""
        return self.train_counts.tokens

    @property
    def trained_tokens(self) -> int:
        """Tokens of the training examples that the loss counts."""
        return self.train_counts.trained_tokens


def prepare(
    config: TrainerConfig,
    tokenizer: PreTrainedTokenizerBase,
    train_path: Path,
    validation_path: Path | None = None,
    *,
    model_limit: int | None = None,
) -> Prepared:
    """Read, check, tokenise, split and pack; or map what an earlier start left.

    `model_limit` is the number of positions that the model has, if it says. Of several processes on one work
    directory the first must be done before the others call it. Raises BAD_DATA, BAD_CONFIG, NOT_FOUND.
    """
    longest = limit(config.training.max_sequence_length, tokenizer, model_limit)
    sources = [train_path] if validation_path is None else [train_path, validation_path]
    name = f"tokens-{_fingerprint(config, tokenizer, longest, sources)}"
    cache = Path(config.work_dir) / "cache"
    if not (cache / name).exists():
        for old in (*cache.glob("tokens-*"), *cache.glob(_BUILDING)):
            shutil.rmtree(old)
        (cache / _BUILDING).mkdir(parents=True)
        _build(cache / _BUILDING, config, tokenizer, longest, train_path, validation_path)
        (cache / _BUILDING).rename(cache / name)
    prepared = _load(cache / name)
    _tell(prepared)
    return prepared


def _build(
    folder: Path,
    config: TrainerConfig,
    tokenizer: PreTrainedTokenizerBase,
    longest: int,
    train_path: Path,
    validation_path: Path | None,
) -> None:
    work = Tokenising(config.dataset, tokenizer, longest=longest, seed=config.training.seed)
    fraction = config.dataset.validation_fraction
    packed = config.training.packing
    report: dict[str, Any] = {"max_length": longest, "packed": packed}
    with TokenStore(folder) as store:
        counts = work.run(train_path, store, processes=workers.available())
        train = np.arange(counts.examples)
        held: Any = None
        if fraction and validation_path is None:
            train, held = split.hold_out(store.keys, fraction)
        pack_length = longest
        sequences: Iterable[Iterable[int]] = ([int(number)] for number in train)
        report |= {"packs_per_step": None, "examples_per_step": float(config.training.effective_batch_size)}
        if packed:
            plan = packing.plan(
                store.lengths[train],
                effective_batch_size=config.training.effective_batch_size,
                max_length=longest,
                world_size=config.processes,
            )
            pack_length = plan.pack_length
            sequences = (train[list(pack)].tolist() for pack in plan.packs)
            report |= {"packs_per_step": plan.packs_per_step, "examples_per_step": plan.examples_per_step}
        store.write(folder / "train.arrow", sequences, packed=packed)
        report |= {"pack_length": pack_length, "counts": counts.to_json(), "train_counts": _side(store, train)}
        if held is not None:
            _write_validation(folder, store, held, pack_length if packed else None)
            report["validation_counts"] = _side(store, held)
    if validation_path is not None:
        with TokenStore(folder) as store:
            counts = work.run(validation_path, store, processes=workers.available())
            _write_validation(folder, store, np.arange(counts.examples), pack_length if packed else None)
            report["validation_counts"] = counts.to_json()
    report["digest"] = _digest(folder / "train.arrow")
    (folder / "report.json").write_text(json.dumps(report))


def _write_validation(folder: Path, store: TokenStore, numbers: Any, pack_length: int | None) -> None:
    sequences = [[int(number)] for number in numbers]
    if pack_length is not None:
        sequences = [numbers[pack].tolist() for pack in packing.pack(store.lengths[numbers], pack_length)]
    store.write(folder / "validation.arrow", sequences, packed=pack_length is not None)


def _side(store: TokenStore, numbers: Any) -> dict[str, int]:
    return Counts(
        examples=len(numbers),
        tokens=int(store.lengths[numbers].sum()),
        trained_tokens=int(np.asarray(store.trained)[numbers].sum()),
    ).to_json()


def _load(folder: Path) -> Prepared:
    report = json.loads((folder / "report.json").read_text())
    for counts in ("counts", "train_counts", "validation_counts"):
        report[counts] = Counts(**report[counts]) if counts in report else None
    validation = folder / "validation.arrow"
    return Prepared(
        train=datasets.Dataset.from_file(str(folder / "train.arrow")),
        validation=datasets.Dataset.from_file(str(validation)) if validation.exists() else None,
        **report,
    )


def _fingerprint(config: TrainerConfig, tokenizer: PreTrainedTokenizerBase, longest: int, sources: list[Path]) -> str:
    """Of everything that decides about the tokens and their order."""
    files = [
        (name, path.stat().st_size, path.stat().st_mtime_ns) for source in sources for path, name in data_files(source)
    ]
    training = config.training
    parts = [
        _LAYOUT,
        config.dataset.to_json(),
        [longest, training.packing, training.effective_batch_size, training.seed, config.processes],
        files,
        tokenizer.chat_template,
        {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        hashlib.sha256(_vocabulary(tokenizer).encode()).hexdigest(),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tell(prepared: Prepared) -> None:
    log.info("data read: %s rows; %s", f"{prepared.counts.rows:,}", prepared.counts)
    log.info("training data: %s", prepared.train_counts)
    if prepared.validation_counts is not None:
        log.info("validation data: %s", prepared.validation_counts)
    if prepared.packs_per_step is not None:
        log.info(
            "packed into %s sequences of up to %s tokens, %s per step: %.1f examples per step on average",
            f"{len(prepared.train):,}",
            f"{prepared.pack_length:,}",
            prepared.packs_per_step,
            prepared.examples_per_step,
        )
