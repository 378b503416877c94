"""`finetune hardware`: lists the hardware table, as the operator has it or with a cluster's own rows."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import yaml

from finetune_operator.sizing.hardware import Hardware, builtin
from finetune_operator.sizing.hardware.read import HardwareError, read

_HEAD = (
    *("NAME", "MEMORY GiB", "TFLOP/s", "BANDWIDTH GB/s", "BF16", "RESOURCE"),
    *("USD/h", "SPOT USD/h", "PRICES OF"),
)
_NUMBERS = frozenset({"MEMORY GiB", "TFLOP/s", "BANDWIDTH GB/s", "USD/h", "SPOT USD/h"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--hardware", type=Path, metavar="FILE", help="rows to add or to change, as in the chart's value hardware"
    )
    parser.add_argument("-o", "--output", choices=["text", "json", "yaml"], default="text", help="default: text")


def main(args: argparse.Namespace) -> int:
    """Returns 0, or 78 (EX_CONFIG) where the file is wrong."""
    today = date.today()
    try:
        table = builtin() if args.hardware is None else read(args.hardware, today=today)
    except HardwareError as error:
        print(f"error: {error}", file=sys.stderr)
        return 78
    match args.output:
        case "json":
            print(json.dumps([row.to_json() for row in table], indent=2))
        case "yaml":
            sys.stdout.write(yaml.safe_dump([row.to_json() for row in table], sort_keys=False, width=120))
        case _:
            print("\n".join(aligned([_HEAD, *(_cells(row) for row in table)])))
    if (stale := table.stale_prices(today)) is not None:
        print(f"warning: {stale}", file=sys.stderr)
    return 0


def _cells(row: Hardware) -> Sequence[str]:
    price = row.price
    return (
        row.name,
        _number(row.memory_gib, 1),
        _number(row.tflops, 1),
        _number(row.bandwidth_gbs, 0),
        "yes" if row.bf16 else "no",
        row.resource or "-",
        _number(price.on_demand if price else None, 2),
        _number(price.spot if price else None, 2),
        str(price.date) if price else "-",
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Lines of a table whose first row is its head: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if head in _NUMBERS else cell.ljust(width)
            for cell, width, head in zip(row, widths, rows[0], strict=True)
        )
        yield "  ".join(cells).rstrip()
