"""The commits that Hub sources were taken at, kept so that a resume never changes its inputs.

WORK_DIR/inputs.json: {"model": {"uri": "hf://org/name", "asked": "main", "commit": "9f5a..."}, "train": ...}
"""

from __future__ import annotations

from pathlib import Path

from finetune_api.contract import SourceConfig
from finetune_trainer.rundir import read_json, write_json


def pinned(inputs: Path, name: str, source: SourceConfig) -> SourceConfig:
    """`source` at the commit that `inputs` (WORK_DIR/inputs.json) has for `name`; as it is where it has none.

    A pin of another source, or of another branch, is none: the job was deliberately given something else.
    """
    pin = (read_json(inputs) or {}).get(name)
    if pin is None or (pin["uri"], pin["asked"]) != (source.uri, source.revision):
        return source
    return source.model_copy(update={"revision": pin["commit"]})


def pin(inputs: Path, name: str, source: SourceConfig, commit: str | None) -> None:
    """Keep `commit` for `name`; None: there is none to keep. `source` is as the configuration has it."""
    if commit is None:
        return
    pins = read_json(inputs) or {}
    pins[name] = {"uri": source.uri, "asked": source.revision, "commit": commit}
    write_json(inputs, pins)
