"""One's own measurements for `python -m bench.sizing --measured FILE`, one JSON object a line.

    {"measuredBytes": 17930000000, "config": {"model_type": "llama", ...}, "method": "lora", "microBatchSize": 4,
     "sequenceLength": 2048, "gradientCheckpointing": true, "engine": {"lossKernel": "eager"}}

`measuredBytes` is torch.cuda.max_memory_allocated() of the run, `config` the model's config.json. The rest are the
fields of sizing.setup.Setup, in camelCase.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from finetune_operator.sizing.models.config_json import from_config
from finetune_operator.sizing.setup import Setup


class MeasuredError(ValueError):
    """A line cannot be used."""


def read(path: Path) -> Iterator[tuple[Setup, int, str]]:
    """Each line's run, its bytes, and what it is in a few words. MeasuredError says which line is wrong, and why."""
    adapter = TypeAdapter(Setup)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            fields: dict[str, Any] = json.loads(line)
            size = int(fields.pop("measuredBytes"))
            architecture = from_config(fields.pop("config"))
            setup = adapter.validate_python({**_snake(fields), "architecture": architecture})
        except KeyError as error:
            raise MeasuredError(f"{where}: {error} is missing") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise MeasuredError(f"{where}: {error}") from error
        checkpointing = "" if setup.gradient_checkpointing else "no "
        batch = f"{setup.micro_batch_size} x {setup.sequence_length}"
        yield setup, size, f"{architecture.model_type} {setup.method} {batch} {checkpointing}checkpointing"


def _snake(fields: dict[str, Any]) -> dict[str, Any]:
    return {re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), name): value for name, value in fields.items()}
