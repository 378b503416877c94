"""A function over blocks of rows, in several processes where there are rows enough to pay for them.

Results come in the order of the blocks, and so does the first failure: the outcome is that of one process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from finetune_api.contract import Outcome
from finetune_trainer.failure import Failure

Block = TypeVar("Block")
Result = TypeVar("Result")

# Blocks done here before processes are started: most data sets are no longer than that.
_ALONE = 8
_MOST_PROCESSES = 16
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")

# What the processes run; set by fork, so that the tokenizer is neither pickled nor loaded again.
_function: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    """A failure on its way between processes: an exception whose arguments aren't its message can't be pickled."""

    outcome: Outcome
    reason: str
    message: str


def in_order(function: Callable[[Block], Result], blocks: Iterator[Block], *, processes: int) -> Iterator[Result]:
    """`function` of each block. Raises the failure of the first block that has one, or that of reading the next."""
    yield from map(function, islice(blocks, _ALONE) if processes > 1 else blocks)
    first = next(blocks, None)
    if first is None:
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(function,)) as pool:
        waiting: deque[Future[Any]] = deque([pool.submit(_run, first)])
        unread: Failure | None = None
        try:
            while waiting:
                while unread is None and len(waiting) < 2 * processes:
                    try:
                        block = next(blocks, None)
                    except Failure as failure:  # rows before it may fail too, and come first
                        unread = failure
                        break
                    if block is None:
                        break
                    waiting.append(pool.submit(_run, block))
                try:
                    result = waiting.popleft().result()
                except BrokenProcessPool:
                    raise Failure(
                        Outcome.TRANSIENT,
                        "OutOfHostMemory",
                        "a process that tokenises was killed, most likely for want of memory; raise resources.memory",
                    ) from None
                if isinstance(result, _Failed):
                    raise Failure(result.outcome, result.reason, result.message)
                yield result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if unread is not None:
            raise unread


def available() -> int:
    """Processes that are worth starting: the CPUs that this one may use, by affinity and by its container's limit."""
    if sys.platform != "linux":  # fork is not safe elsewhere
        return 1
    cpus = len(os.sched_getaffinity(0))
    try:
        quota, period = _CPU_MAX.read_text().split()
    except (OSError, ValueError):
        quota, period = "max", "1"
    if quota != "max":
        cpus = min(cpus, max(1, int(quota) // int(period)))
    return min(cpus, _MOST_PROCESSES)


def _begin(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    # the parent's handlers are about the run, and it ends these processes itself
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(block: Any) -> Any:
    if _function is None:
        raise RuntimeError("the process was not begun")
    try:
        return _function(block)
    except Failure as failure:
        return _Failed(failure.outcome, failure.reason, failure.message)
