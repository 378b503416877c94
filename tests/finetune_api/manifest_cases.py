"""The form of a case: a job file and what is said of it, by the reader of job files and by a real API server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """A job file. `error`: how the reader's message goes on after the line; none: the file is accepted.

    `reader_only`: the reader is stricter than kubectl here, on purpose.
    """

    id: str
    text: str
    error: str | None = None
    reader_only: bool = False


def job(
    spec: str = "",
    *,
    name: str = "probe",
    model: str = "{source: hf://org/model}",
    method: str = "lora",
    dataset: str = "{train: {source: hf://org/data}}",
) -> str:
    """The shortest job, with more fields of spec, one a line."""
    lines = "".join(f"  {line}\n" for line in spec.splitlines())
    return (
        "apiVersion: finetune.dev/v1alpha1\nkind: FineTuneJob\n"
        f"metadata: {{name: {name}}}\nspec:\n"
        f"  model: {model}\n  method: {method}\n  dataset: {dataset}\n{lines}"
    )
