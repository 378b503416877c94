"""Several short examples in one sequence, so that little is computed on padding.

Best-fit decreasing (arXiv:2404.10830), as TRL's "bfd" does it: examples from long to short, each into the sequence
with the least space left that still holds it. None is ever cut: that has been decided before.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Lengths = NDArray[np.integer] | Sequence[int]


@dataclass(frozen=True, slots=True)
class PackPlan:
    """How many packs make up an optimizer step, so that it holds `effectiveBatchSize` examples on average."""

    pack_length: int
    """Tokens that a pack is filled up to. An example that is longer has a pack of its own."""
    packs_per_step: int
    """Over all processes and accumulation steps; a multiple of the number of processes times the micro-batch."""
    packs: tuple[tuple[int, ...], ...]
    """Numbers of the examples of each pack."""

    @property
    def examples_per_step(self) -> float:
        """Mean number of examples per optimizer step."""
        return self.packs_per_step * sum(map(len, self.packs)) / len(self.packs)


def plan(
    lengths: Lengths, *, effective_batch_size: int, max_length: int, world_size: int, micro_batch_size: int = 1
) -> PackPlan:
    """Packs and packs per step for examples of `lengths` tokens (each from 1 to `max_length`).

    Full packs of short examples hold so many that an epoch would be a handful of steps. So packs per step is the
    smallest number that reaches the effective batch with full packs, and packs are then shortened until the mean
    is met: examples per step within what whole packs allow. Where processes times micro-batch is more than the
    effective batch, a step has at least one example for each, which is more than was asked for.
    """
    unit = world_size * micro_batch_size
    full = pack(lengths, max_length)
    examples = len(lengths)
    steps_worth = effective_batch_size * len(full) / examples
    packs_per_step = unit * max(1, int(np.ceil(steps_worth / unit - 1e-9)))
    wanted = min(examples, max(1, round(examples * packs_per_step / effective_batch_size)))
    pack_length, packs = _shortened(lengths, wanted, max_length, full)
    return PackPlan(pack_length, packs_per_step, tuple(map(tuple, packs)))


def pack(lengths: Lengths, pack_length: int) -> list[list[int]]:
    """Numbers of the examples of each pack; a pack has at most `pack_length` tokens, or one longer example alone.

    Packs stand in the order in which they were begun (longest first example first), examples in that of their
    lengths; equal lengths keep the data's order.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    space = _Spaces(pack_length)
    open_packs: defaultdict[int, deque[list[int]]] = defaultdict(deque)
    packs: list[list[int]] = []
    for number, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        left = space.at_least(size) if size <= pack_length else None
        if left is None:
            packs.append([])
            chosen, left = packs[-1], max(pack_length, size)
        else:
            chosen = open_packs[left].popleft()
            if not open_packs[left]:
                space.remove(left)
        chosen.append(number)
        if left > size:
            open_packs[left - size].append(chosen)
            space.add(left - size)
    return packs


def _shortened(lengths: Lengths, wanted: int, max_length: int, full: list[list[int]]) -> tuple[int, list[list[int]]]:
    """The pack length, and its packs, that come nearest to `wanted` packs, or within half a percent of it."""
    best_length, best = max_length, full
    low, high = 1, max_length
    # Packs are nearly full, so the first guess is nearly right; from there on by halves.
    length = min(max_length, -(-sum(map(int, lengths)) // wanted))
    while low <= high and abs(len(best) - wanted) > wanted // 200:
        packs = pack(lengths, length)
        if abs(len(packs) - wanted) < abs(len(best) - wanted):
            best_length, best = length, packs
        if len(packs) > wanted:
            low = length + 1
        else:
            high = length - 1
        length = (low + high) // 2
    return best_length, best


class _Spaces:
    """A set of sizes from 1 to `largest` that finds the smallest one of at least a given size in O(log largest)."""

    def __init__(self, largest: int) -> None:
        self._leaves = 1 << largest.bit_length()
        self._largest_below = [0] * (2 * self._leaves)

    def add(self, size: int) -> None:
        self._set(size, size)

    def remove(self, size: int) -> None:
        self._set(size, 0)

    def at_least(self, size: int) -> int | None:
        below = self._largest_below
        if below[1] < size:
            return None
        node = 1
        while node < self._leaves:
            node = 2 * node if below[2 * node] >= size else 2 * node + 1
        return below[node]

    def _set(self, size: int, value: int) -> None:
        below = self._largest_below
        node = self._leaves + size
        below[node] = value
        while node > 1:
            node >>= 1
            below[node] = max(below[2 * node], below[2 * node + 1])
