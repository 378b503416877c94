"""The memory model against published measurements: how far it is off, and where.

    python -m bench.sizing [--json] [--measured FILE]

Every row of bench/memory_points.csv is put to the model, or is listed with the reason why it cannot be. What is
compared: the sum of the terms that the row's metric can see (bench.engines.UNSEEN). `as shown` compares the whole of
totalGiB, whatever the metric. `under` counts rows whose requiredGiB is below the measurement by more than a tenth.
Rows whose engine does what no assumption says stand apart (bench.engines.beyond).
--measured takes one's own figures as JSON lines, each as bench.measured describes it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import engines, measured, points
from bench.points import Point
from finetune_operator.sizing.memory import predict
from finetune_operator.sizing.setup import Setup

UNDER = 0.9
KNOWN, HELD_OUT, BEYOND = "developed with", "held out", "beyond the assumptions"
OWN = "own"
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Compared:
    """A measurement and its prediction, in bytes per accelerator."""

    name: str
    text: str
    method: str
    group: str
    accelerators: int
    measured: int
    expected: int
    """Of the terms that the metric sees."""
    total: int
    required: int

    @property
    def error(self) -> float:
        """Of what is expected, as a part of what was measured."""
        return self.expected / self.measured - 1

    @property
    def shown_error(self) -> float:
        """Of totalGiB."""
        return self.total / self.measured - 1

    @property
    def under(self) -> bool:
        """Even with the margin it says a tenth less than was needed."""
        return self.required < UNDER * self.measured


@dataclass(frozen=True, slots=True)
class Figures:
    """How good the model is over some rows."""

    rows: int
    median: float
    p90: float
    shown_median: float
    under: int


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found."""

    compared: tuple[Compared, ...]
    fits: tuple[Compared, ...]
    """`measured` is the card's memory."""
    left_out: tuple[tuple[Point, str], ...]

    def single(self, group: str) -> list[Compared]:
        """Rows of one accelerator."""
        return [each for each in self.compared if each.group == group and each.accelerators == 1]

    def several(self, group: str) -> list[Compared]:
        """Rows of more than one, each by what one of them held."""
        return [each for each in self.compared if each.group == group and each.accelerators > 1]

    def reasons(self) -> dict[str, list[int]]:
        """Ids of the rows left out, by reason."""
        found: dict[str, list[int]] = {}
        for point, reason in self.left_out:
            found.setdefault(reason, []).append(point.id)
        return found


def compare(rows: Iterable[Point]) -> Report:
    """Each row against the model."""
    compared: list[Compared] = []
    fits: list[Compared] = []
    left_out: list[tuple[Point, str]] = []
    for point in rows:
        try:
            setup = engines.setup(point)
        except engines.LeftOut as reason:
            left_out.append((point, str(reason)))
            continue
        assert point.measured_bytes is not None
        (compared if point.kind == "measured" else fits).append(_compared(point, setup, point.measured_bytes))
    return Report(tuple(compared), tuple(fits), tuple(left_out))


def _compared(point: Point, setup: Setup, size: int) -> Compared:
    prediction = predict(setup)
    unseen = sum(prediction.terms.get(term, 0) for term in engines.UNSEEN[point.metric])
    return Compared(
        name=str(point.id),
        text=point.text,
        method=setup.method,
        group=_group(point),
        accelerators=point.accelerators,
        measured=size,
        expected=prediction.total - unseen,
        total=prediction.total,
        required=prediction.required,
    )


def _group(point: Point) -> str:
    if engines.beyond(point):
        return BEYOND
    return HELD_OUT if point.held_out else KNOWN


def figures(rows: Sequence[Compared]) -> Figures:
    """Of absolute errors. ValueError without rows."""
    errors = sorted(abs(each.error) for each in rows)
    return Figures(
        rows=len(rows),
        median=median(errors),
        p90=errors[min(len(errors) - 1, round(0.9 * (len(errors) - 1)))],
        shown_median=median(abs(each.shown_error) for each in rows),
        under=sum(each.under for each in rows),
    )


def grouped(rows: Sequence[Compared], key: Callable[[Compared], str]) -> dict[str, Figures]:
    """Figures by what `key` says of a row, in the order of its first row."""
    names = dict.fromkeys(key(each) for each in rows)
    return {name: figures([each for each in rows if key(each) == name]) for name in names}


def show(report: Report, worst: int) -> Iterable[str]:
    """The report, for people."""
    yield f"{'':34} {'rows':>5} {'median':>8} {'p90':>8} {'as shown':>9} {'under':>6}"
    for group in (KNOWN, HELD_OUT, BEYOND):
        single = report.single(group)
        if not single:
            continue
        yield _line(f"{group}, one GPU", figures(single))
        for method, found in grouped(single, lambda each: each.method).items():
            yield _line(f"  {method}", found)
        if several := report.several(group):
            yield _line(f"{group}, several GPUs", figures(several))
    yield from ("", f"the worst {worst}:")
    for each in sorted(report.compared, key=lambda each: -abs(each.error))[:worst]:
        yield _row(each)
    if report.fits:
        yield from ("", "the longest sequence that ran, against the card:")
        yield from (_row(each) for each in report.fits)
    yield from ("", f"left out: {len(report.left_out)}")
    yield from (f"  {reason}: {ranges(ids)}" for reason, ids in report.reasons().items())


def _line(name: str, found: Figures) -> str:
    return (
        f"{name:34} {found.rows:5} {found.median:8.1%} {found.p90:8.1%} {found.shown_median:9.1%}"
        f" {found.under:3} ({found.under / found.rows:.0%})"
    )


def _row(each: Compared) -> str:
    sizes = f"measured {each.measured / GIB:7.2f} GiB, expected {each.expected / GIB:7.2f}"
    required = f"required {each.required / GIB:7.2f}{' UNDER' if each.under else ''}"
    return f"  {each.name:>5} {each.error:+7.1%}  {sizes}, {required}  {each.text}"


def ranges(ids: Sequence[int]) -> str:
    """1, 2, 3, 7 as 1-3, 7."""
    runs: list[list[int]] = []
    for each in ids:
        if runs and each == runs[-1][1] + 1:
            runs[-1][1] = each
        else:
            runs.append([each, each])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def to_json(report: Report) -> dict[str, Any]:
    """The report, for programs."""

    def found(rows: Sequence[Compared]) -> dict[str, Any] | None:
        if not rows:
            return None
        each = figures(rows)
        return {
            "rows": each.rows,
            "median": each.median,
            "p90": each.p90,
            "medianAsShown": each.shown_median,
            "under": each.under,
        }

    def rows(every: Sequence[Compared]) -> list[dict[str, Any]]:
        return [
            {
                "id": each.name,
                "text": each.text,
                "measuredBytes": each.measured,
                "expectedBytes": each.expected,
                "totalBytes": each.total,
                "requiredBytes": each.required,
            }
            for each in every
        ]

    return {
        "developedWith": found(report.single(KNOWN)),
        "heldOut": found(report.single(HELD_OUT)),
        "beyond": found(report.single(BEYOND)),
        "own": found([each for each in report.compared if each.group == OWN]),
        "compared": rows(report.compared),
        "fits": rows(report.fits),
        "leftOut": [{"id": str(point.id), "reason": reason} for point, reason in report.left_out],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m bench.sizing", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--measured", type=Path, metavar="FILE", help="own measurements, JSON lines, instead")
    parser.add_argument("--worst", type=int, default=20, metavar="N", help="how many of the worst rows to show")
    args = parser.parse_args(arguments)
    report = compare(points.read()) if args.measured is None else Report(tuple(own(args.measured)), (), ())
    if args.json:
        json.dump(to_json(report), sys.stdout, indent=2)
        print()
        return 0
    if args.measured is not None:
        print(_line(OWN, figures(report.compared)), *map(_row, report.compared), sep="\n")
        return 0
    print(*show(report, args.worst), sep="\n")
    return 0


def own(path: Path) -> Iterable[Compared]:
    """The file's lines against the model; all terms but the context, which torch's allocator does not see."""
    for number, (setup, size, text) in enumerate(measured.read(path), start=1):
        prediction = predict(setup)
        yield Compared(
            name=str(number),
            text=text,
            method=setup.method,
            group=OWN,
            accelerators=setup.accelerators,
            measured=size,
            expected=prediction.total - prediction.terms.get("context", 0) - prediction.terms.get("fragmentation", 0),
            total=prediction.total,
            required=prediction.required,
        )


if __name__ == "__main__":
    sys.exit(main())
