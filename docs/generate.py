"""`python -m docs.generate [--check]`: the tables in docs/ that the code already knows.

A table stands between `<!-- begin NAME ... -->` and `<!-- end NAME -->`; what is around it is written by hand.
docs/reference.md is `finetune crds`' affair.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from prometheus_client import CollectorRegistry

from docs import guides, guides_errors, measured, memory, speed
from finetune_api.contract import EXIT_CODES, Outcome
from finetune_api.schema import Schema, wire_name
from finetune_operator import kinds
from finetune_operator.metrics import Metrics
from finetune_operator.reconcile.retry import OUTCOMES, Action, Cause
from finetune_operator.settings import Settings
from finetune_operator.sizing.hardware import PRODUCT_LABEL, Hardware, Interconnect, Price, builtin

DOCS = Path(__file__).parent
PAGES = ("operations.md", "reliability.md", "hardware.md", "sizing.md")
_BLOCK = re.compile(r"(<!-- begin (\w+)[^>]*-->\n).*?(<!-- end \2 -->)", re.DOTALL)

# Exit codes that a trainer's container can have for a cause of which the trainer itself says nothing.
_SEEN_AS = {Cause.HOST_OUT_OF_MEMORY: "137", Cause.KILLED: "137, 143"}
_FOLLOWS = {
    Action.FINISH: "the job has succeeded",
    Action.RESUME: "goes on from the newest checkpoint",
    Action.RETRY: "next attempt, from the newest checkpoint",
    Action.ADAPT: "next attempt, with half the micro-batch and twice the accumulation; fails at micro-batch 1",
    Action.STOP: "the job has failed",
}


def settings_table() -> str:
    """Every setting of the operator."""
    return _table(("setting", "default", "what it is"), _settings(Settings, ""))


def _settings(schema: type[Schema], prefix: str) -> Iterator[tuple[str, ...]]:
    for name, field in schema.model_fields.items():
        path = f"{prefix}{wire_name(name)}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Schema):
            yield from _settings(field.annotation, f"{path}.")
        else:
            value = "none" if field.default is None else f"`{json.dumps(field.default)}`".replace('"', "")
            yield f"`{path}`", value, field.description or ""


def metrics_table() -> str:
    """Every series of the operator, as a scrape shows it."""
    metrics = Metrics()
    metrics.watch_queue(lambda: 0)
    metrics.watch_jobs(lambda: [_job_with_everything()])
    # a series with labels is there once it has counted something
    metrics.failed("api")
    with metrics.write("create", kinds.JOB):
        pass
    rows = (
        (f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), text)
        for name, kind, labels, text in _series(metrics.registry)
    )
    return _table(("metric", "type", "labels", "what it is"), rows)


def _series(registry: CollectorRegistry) -> Iterator[tuple[str, str, Sequence[str], str]]:
    suffixes = {"counter": "_total", "info": "_info"}
    for metric in registry.collect():
        labels = dict.fromkeys(label for sample in metric.samples for label in sample.labels if label != "le")
        yield metric.name + suffixes.get(metric.type, ""), metric.type, tuple(labels), metric.documentation


def _job_with_everything() -> Mapping[str, Any]:
    when = "2025-01-01T00:00:00Z"
    status = {
        "phase": "Training",
        "progress": {
            **{"step": 1, "maxSteps": 2, "loss": 1.0, "evalLoss": 1.0, "tokensPerSecond": 1.0},
            "lastHeartbeatTime": when,
        },
        "cost": {"gpuSeconds": 1.0, "spentUSD": 1.0},
        "sizing": {"count": 1, "nodes": 1},
        "attempts": [{"interruptions": 1}],
        "startTime": when,
        "completionTime": when,
    }
    return {"metadata": {"namespace": "default", "name": "first"}, "status": status}


def outcomes_table() -> str:
    """What follows each way in which an attempt can end."""
    rows = (
        (
            f"`{outcome}`",
            str(EXIT_CODES[outcome]) if isinstance(outcome, Outcome) else _SEEN_AS.get(outcome, ""),
            verdict.why,
            _FOLLOWS[verdict.action],
            "" if verdict.action in (Action.FINISH, Action.STOP) else "yes" if verdict.counts else "no",
        )
        for outcome, verdict in OUTCOMES.items()
    )
    return _table(("outcome", "exit code", "what happened", "what follows", "costs an attempt"), rows)


def accelerators_table() -> str:
    """Every kind of accelerator that a job may name."""
    head = ("accelerator", "memory, GiB", "TFLOP/s", "memory, GB/s", "link, GB/s", "USD/h", "spot", "nodes")
    return _table(
        head,
        (
            (
                _names(row),
                _figure(row.memory_gib),
                _figure(row.tflops) + ("" if row.bf16 or row.tflops is None else " (fp16)"),
                _figure(row.bandwidth_gbs),
                "" if row.interconnect.kind == "none" else f"{row.interconnect.kind} {row.interconnect.gbs:g}",
                _figure(row.price and row.price.on_demand),
                _figure(row.price and row.price.spot),
                _nodes(row),
            )
            for row in builtin()
        ),
    )


def row_table() -> str:
    """Every field of a row of the hardware table."""
    return _table(("field", "what it is"), _row(Hardware, ""))


def _row(schema: type[Schema], prefix: str) -> Iterator[tuple[str, ...]]:
    for name, field in schema.model_fields.items():
        path = f"{prefix}{field.alias or wire_name(name)}"
        part = next(
            (model for model in (Interconnect, Price) if model in (field.annotation, *get_args(field.annotation))), None
        )
        if part is not None:
            yield from _row(part, f"{path}.")
        else:
            yield f"`{path}`", " ".join((field.description or "").split())


def _names(row: Hardware) -> str:
    return " or ".join(f"`{name}`" for name in (row.name, *row.aliases))


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _nodes(row: Hardware) -> str:
    """The values of its label, or what the nodes must have."""
    if row.resource is None:
        return "any node"
    if not row.products:
        return f"any with `{row.resource}`"
    products = ", ".join(f"`{product}`" for product in row.products)
    return products if row.label == PRODUCT_LABEL else f"`{row.label}`: {products}"


def other_labels_table() -> str:
    """The labels of clouds that tell a kind too."""
    rows = (
        (f"`{label}`", ", ".join(f"`{value}`" for value in values), f"`{row.name}`")
        for label in dict.fromkeys(label for row in builtin() for label in row.other_labels)
        for row in builtin()
        if (values := row.other_labels.get(label))
    )
    return _table(("label", "values", "accelerator"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": settings_table,
    "metrics": metrics_table,
    "outcomes": outcomes_table,
    "accelerators": accelerators_table,
    "other_labels": other_labels_table,
    "row": row_table,
    "memory_example": lambda: _table(memory.EXAMPLE, memory.example()),
    "assume": lambda: _table(memory.ASSUME, memory.assume()),
    "measured_error": lambda: _table(measured.ERRORS, measured.errors()),
    "apart": lambda: _table(measured.APART, measured.apart()),
    "left_out": lambda: _table(measured.LEFT_OUT, measured.left_out()),
    "guides_needs": lambda: _table(guides.NEEDS, guides.needs()),
    "guides_claims": lambda: _table(guides.CLAIMED, guides.claims()),
    "guides_errors": lambda: _table(guides_errors.HEAD, guides_errors.errors()),
    "speed_errors": lambda: _table(speed.ERRORS, speed.errors()),
    "guides_costs": lambda: _table(speed.COSTS, speed.costs()),
    "advice": lambda: _table(speed.ADVICE, speed.advice()),
}


def filled(text: str) -> str:
    """The page with all of its tables made anew. KeyError for one that nobody can make."""
    return _BLOCK.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables; with --check write nothing, and return 1 where one is stale."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a table is stale")
    check = parser.parse_args(arguments).check
    code = 0
    for path in (DOCS / page for page in PAGES):
        text = path.read_text(encoding="utf-8")
        if (new := filled(text)) == text:
            continue
        if check:
            sys.stderr.write(f"docs/{path.name}: has a stale table; run `make generate` and commit it\n")
            code = 1
        else:
            path.write_text(new, encoding="utf-8")
            sys.stdout.write(f"wrote docs/{path.name}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
