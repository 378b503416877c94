"""Several processes give what one gives: the same results in the same order, and the same failure."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_api.contract import Outcome
from finetune_trainer.data import prepare, workers
from finetune_trainer.failure import Failure
from tests.finetune_trainer.data.test_prepare import rows
from tests.finetune_trainer.data.tokenizers_made import family


def double(block: int) -> int:
    if block in (23, 31):
        raise Failure(Outcome.BAD_DATA, "Bad", f"block {block} is bad")
    return 2 * block


def blocks(count: int, *, broken: bool = False) -> Iterator[int]:
    yield from range(count)
    if broken:
        raise Failure(Outcome.BAD_DATA, "Broken", f"cannot read block {count}")


def gathered(source: Iterator[int], processes: int) -> tuple[list[int], str]:
    """Results until the failure, and the failure."""
    found: list[int] = []
    try:
        found.extend(workers.in_order(double, source, processes=processes))
    except Failure as failure:
        return found, f"{failure.outcome} {failure.reason} {failure.message}"
    return found, "none"


@pytest.mark.parametrize("count", [0, 1, 8, 9, 22, 24, 40])
@pytest.mark.parametrize("broken", [False, True])
def test_as_in_one_process(count: int, broken: bool) -> None:
    assert gathered(blocks(count, broken=broken), 2) == gathered(blocks(count, broken=broken), 1)


def test_the_first_failure_counts() -> None:
    found, failure = gathered(blocks(25, broken=True), 2)
    assert (len(found), failure) == (23, "BadData Bad block 23 is bad")


def killed(block: int) -> int:
    if block == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return block


def test_a_killed_process_is_no_end_of_waiting() -> None:
    with pytest.raises(Failure, match=r"raise resources\.memory") as caught:
        list(workers.in_order(killed, iter(range(30)), processes=2))
    assert caught.value.outcome == "Transient"


def test_the_same_tokens(make_config: Any, write_rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["finetune_trainer.data.examples"], "_BLOCK_ROWS", 3)
    path = write_rows(*rows(60))
    one = make_config({"validationFraction": 0.2}, packing=True)
    other = one.model_copy(update={"work_dir": str(tmp_path / "other")})
    monkeypatch.setattr(workers, "available", lambda: 1)
    alone = prepare(one, family("base"), path)
    monkeypatch.setattr(workers, "available", lambda: 2)
    shared = prepare(other, family("base"), path)
    assert (shared.digest, shared.counts) == (alone.digest, alone.counts)
    assert shared.validation is not None
    assert alone.validation is not None
    assert shared.validation.to_list() == alone.validation.to_list()


@pytest.mark.parametrize(
    ("content", "cpus"), [("max 100000", 64), ("400000 100000", 4), ("50000 100000", 1), (None, 64), ("odd", 64)]
)
def test_the_limit_of_the_container(
    content: str | None, cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr(workers, "_CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert workers.available() == min(cpus, 16)
