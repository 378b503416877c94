"""How well sizing predicts the speed of training: `python -m bench.speed [--all]`.

Puts the published points of speed_points.csv to the model of `sizing.speed`, one optimizer step each, and prints
predicted over published time: the median and the 90th percentile of the error, by source and by method. Points that
are not used are printed last, each with its reason.
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from finetune_operator.sizing.architecture import Architecture, Linear
from finetune_operator.sizing.hardware import Hardware, builtin
from finetune_operator.sizing.setup import Engine, Setup
from finetune_operator.sizing.speed.step import StepTime, step
from finetune_operator.sizing.speed.utilisation import utilisation

_SETUP = TypeAdapter(Setup)
POINTS = Path(__file__).with_name("speed_points.csv")


@dataclass(frozen=True, slots=True)
class Point:
    """One published speed, and what is predicted for it."""

    row: Mapping[str, str]
    hardware: Hardware
    setup: Setup
    predicted: StepTime

    @property
    def seconds(self) -> float:
        """Published, of one optimizer step."""
        return float(self.row["seconds"])

    @property
    def source(self) -> str:
        """Who measured it."""
        return self.row["source"].split()[0].removeprefix("github.com/")

    @property
    def ratio(self) -> float:
        """Predicted over published time."""
        return self.predicted.seconds / self.seconds

    @property
    def utilisation(self) -> float:
        """Share of the accelerator's peak that the published speed is, recomputed operations included."""
        return self.predicted.flops / self.seconds / ((self.hardware.tflops or 0.0) * 1e12)


def points(*, used: bool = True) -> list[Point]:
    """The points that are used, or those that aren't."""
    with POINTS.open(encoding="utf-8", newline="") as file:
        return [_point(row) for row in csv.DictReader(file) if (row["used"] == "1") == used]


def error(of: Iterable[Point]) -> list[float]:
    """How many times too long or too short each prediction is, less one."""
    return sorted(max(point.ratio, 1 / point.ratio) - 1 for point in of)


def by_the_others() -> list[float]:
    """Errors where what an accelerator reaches is fitted to all sources but the one that it is tried on, in turn.

    Of an accelerator that no other source has, what is taken of those of which nothing is published.
    """
    at = {factor: [_point(point.row, reached=factor) for point in points()] for factor in _FACTORS}
    return error(point for source in sorted({point.source for point in points()}) for point in _tried(source, at))


_FACTORS = [factor / 20 for factor in range(12, 29)]
"""Of what is reached, in steps of 5%."""


def _tried(source: str, at: Mapping[float, list[Point]]) -> list[Point]:
    tried = []
    for index, point in enumerate(at[1.0]):
        if point.source != source:
            continue
        gpu = point.row["gpu"]
        others = [i for i, it in enumerate(at[1.0]) if it.row["gpu"] == gpu and it.source != source]
        if others:
            best = min(at, key=lambda factor: statistics.median(error(at[factor][i] for i in others)))
            tried.append(at[best][index])
        else:
            known = utilisation(point.hardware).matmul
            tried.append(_point(point.row, reached=utilisation(_UNPUBLISHED).matmul / known))
    return tried


_UNPUBLISHED = builtin().row("MI300X")


def _point(row: Mapping[str, str], *, reached: float = 1.0) -> Point:
    """`reached`: times what the accelerator is taken to reach."""
    hardware, setup = builtin().row(row["gpu"]), _setup(row)
    hardware = hardware.model_copy(update={"tflops": (hardware.tflops or 0.0) * reached})
    predicted = step(
        setup, hardware, accumulation=int(row["grad_accum"]), example_tokens=float(row["tokens_per_row"] or 0) or None
    )
    if predicted is None:
        raise LookupError(f"{POINTS.name}, point {row['id']}: the hardware table has no speed of {row['gpu']}")
    return Point(row, hardware, setup, predicted)


def _setup(row: Mapping[str, str]) -> Setup:
    given: dict[str, Any] = {}
    if row["lora_r"]:
        given["rank"] = int(row["lora_r"])
    if row["targets"]:
        given["target_modules"] = tuple(row["targets"].split())
    if row["dropout"]:
        given["dropout"] = float(row["dropout"])
    engine = Engine.model_validate(
        {
            "loss_kernel": row["loss_kernel"],
            "adapter_precision": row["adapter_precision"] or "fp32",
            "optimizer_precision": row["optimizer_precision"],
            "compiled": row["compiled"] == "1",
            "master_weights": row["method"] == "full" and row["optimizer_precision"] == "fp32",
        }
    )
    return _SETUP.validate_python(
        {
            "architecture": _architecture(row),
            "method": row["method"],
            "micro_batch_size": int(row["micro_bs"]),
            "sequence_length": int(row["seq"]),
            "gradient_checkpointing": row["grad_ckpt"] == "1",
            "optimizer": row["optimizer"],
            "packed": row["packed"] == "1",
            "kernel": row["kernel"],
            "accumulation": int(row["grad_accum"]),
            "accelerators": int(row["n_gpu"]),
            "sharding": row["sharding"],
            "engine": engine,
            **given,
        }
    )


def _architecture(row: Mapping[str, str]) -> Architecture:
    hidden, layers, wide = int(row["hidden"]), int(row["layers"]), int(row["inter"])
    queries = int(row["heads"]) * int(row["head_dim"])
    keys = int(row["kv_heads"]) * int(row["head_dim"])
    shapes = {
        "q_proj": (hidden, queries),
        "k_proj": (hidden, keys),
        "v_proj": (hidden, keys),
        "o_proj": (queries, hidden),
        **({"gate_proj": (hidden, wide)} if row["gated"] == "1" else {}),
        "up_proj": (hidden, wide),
        "down_proj": (wide, hidden),
    }
    mlp = {"gate_proj", "up_proj", "down_proj"}
    return Architecture(
        model_type="published",
        hidden_size=hidden,
        layers=layers,
        vocabulary_size=int(row["vocab"]),
        attention_heads=int(row["heads"]),
        key_value_heads=int(row["kv_heads"]),
        head_dim=int(row["head_dim"]),
        intermediate_size=wide,
        linears=tuple(
            Linear(name, inputs, outputs, layers, part="mlp" if name in mlp else "attention")
            for name, (inputs, outputs) in shapes.items()
        ),
        tied_embeddings=row["tied"] == "1",
        other_parameters=hidden * (2 * layers + 1),
        gated=row["gated"] == "1",
    )


def _print(shown: Iterable[Point]) -> None:
    for point in shown:
        row = point.row
        print(
            f"{row['id']:>4} {row['gpu']:<10} x{row['n_gpu']} {row['model']:<14} {row['method']:<6}"
            f"{row['micro_bs']:>3} x {row['seq']:<6}{'checkpointed' if row['grad_ckpt'] == '1' else '':<13}"
            f"{point.seconds:>9.3f} s {point.predicted.seconds:>9.3f} s  ratio {point.ratio:5.2f}"
            f"  utilisation {point.utilisation:4.0%}  {point.source}"
        )


def _summary(name: str, of: list[Point]) -> str:
    errors, ratio = error(of), statistics.median(point.ratio for point in of)
    median, high = statistics.median(errors), percentile_90(errors)
    return (
        f"{name:<28}{len(of):>4} points  ratio {ratio:4.2f}  error: median {median:4.0%}, 90th percentile {high:4.0%}"
    )


def percentile_90(errors: list[float]) -> float:
    """Of sorted errors."""
    return errors[round(0.9 * (len(errors) - 1))]


def main() -> None:
    """Print what was compared."""
    used = points()
    if "--all" in sys.argv:
        _print(used)
        print()
    for key in ("source", "gpu", "method"):
        groups = defaultdict(list)
        for point in used:
            groups[point.source if key == "source" else point.row[key]].append(point)
        for name, of in sorted(groups.items()):
            print(_summary(name, of))
        print()
    print(_summary("all", used))
    print("\nleft out:")
    for point in points(used=False):
        print(
            f"{point.row['id']:>4} {point.row['gpu']} {point.row['model']} {point.row['method']}: {point.row['notes']}"
        )


if __name__ == "__main__":
    main()
