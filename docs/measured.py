"""How far the memory model is off: tables of docs/sizing.md, from bench/sizing.py."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from bench import points
from bench.engines import beyond
from bench.sizing import BEYOND, HELD_OUT, KNOWN, Figures, Report, compare, figures, grouped, ranges

ERRORS = ("group", "rows", "median error", "90th percentile", "median, as shown", "under")
LEFT_OUT = ("reason", "ids")
APART = ("what the engine does", "rows", "median error")


@cache
def _report() -> Report:
    return compare(points.read())


def errors() -> Iterator[tuple[str, ...]]:
    """Each group of rows, and each method within it."""
    report = _report()
    for group in (KNOWN, HELD_OUT, BEYOND):
        single = report.single(group)
        yield _row(f"{group}, one GPU", figures(single))
        for method, found in grouped(single, lambda each: each.method).items():
            yield _row(f"- {method}", found)
    yield _row(f"{HELD_OUT}, several GPUs", figures(report.several(HELD_OUT)))


def _row(name: str, found: Figures) -> tuple[str, ...]:
    shares = (f"{share:.1%}" for share in (found.median, found.p90, found.shown_median))
    return (name, str(found.rows), *shares, f"{found.under} of {found.rows}")


def apart() -> Iterator[tuple[str, ...]]:
    """Why the rows of the last group stand apart."""
    rows = {str(point.id): point for point in points.read()}
    for reason, found in grouped(_report().single(BEYOND), lambda each: str(beyond(rows[each.name]))).items():
        yield reason, str(found.rows), f"{found.median:.1%}"


def left_out() -> Iterator[tuple[str, str]]:
    """Why rows could not be put to the model, and which."""
    for reason, ids in _report().reasons().items():
        yield reason, ranges(ids)
