"""`finetune crds`: what is generated from the models, and what the chart has copies of: written, checked or printed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from finetune_api.crd import custom_resource_definition, to_yaml
from finetune_api.reference import reference
from finetune_operator.sizing.hardware.table import builtin_text

CRD = Path("crds/finetunejobs.yaml")
# The chart's copies: helm reads nothing outside of the chart.
CHART_CRD = Path("charts/finetune-operator/files/finetunejobs.yaml")
CHART_HARDWARE = Path("charts/finetune-operator/files/hardware.yaml")
REFERENCE = Path("docs/reference.md")
STDOUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Without arguments: write all generated files into the source tree of the current folder."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="write nothing; exit 1 if a generated file is stale")
    what.add_argument("--output", metavar="FILE", help="write only the definition, to FILE; - prints it")
    what.add_argument("--reference", metavar="FILE", help="write only the API reference, to FILE; - prints it")
    parser.add_argument("--root", type=Path, default=Path(), help="top of the source tree (default: current folder)")


def main(args: argparse.Namespace) -> int:
    """Returns 0, or 1 where a file is stale or this is not the source tree."""
    if args.output is not None:
        return _write(args.output, to_yaml(custom_resource_definition()))
    if args.reference is not None:
        return _write(args.reference, reference())
    if not (args.root / "crds/src/finetune_api").is_dir():
        print(
            f"{args.root.resolve()}: is not the project's source tree (it has no crds/src/finetune_api); "
            "go to its top, or print the definition with `finetune crds --output -`",
            file=sys.stderr,
        )
        return 1
    return _check(args.root) if args.check else _write_all(args.root)


def generated() -> dict[Path, str]:
    """Each generated file, from the top of the source tree, and the text that it must have."""
    crd = to_yaml(custom_resource_definition())
    return {CRD: crd, CHART_CRD: crd, CHART_HARDWARE: builtin_text(), REFERENCE: reference()}


def _write_all(root: Path) -> int:
    for path, text in generated().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0


def _check(root: Path) -> int:
    stale = [
        path
        for path, text in generated().items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(
            f"{path}: is not what its source says; run `finetune crds` (or `make generate`) and commit it",
            file=sys.stderr,
        )
    return 1 if stale else 0


def _write(target: str, text: str) -> int:
    if target == STDOUT:
        sys.stdout.write(text)
    else:
        Path(target).write_text(text, encoding="utf-8")
    return 0
