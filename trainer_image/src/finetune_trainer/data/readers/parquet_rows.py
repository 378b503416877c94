"""Parquet, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from finetune_api.contract import Outcome
from finetune_trainer.data.row import Row
from finetune_trainer.failure import Failure

_BATCH_ROWS = 1024


def parquet_file(path: Path, name: str) -> Iterator[Row]:
    """Rows of the file in its order. Raises BAD_DATA where Arrow can't read it."""
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for fields in batch.to_pylist():
                    number += 1
                    yield Row(name, number, None, fields)
    except (pa.ArrowException, OSError) as error:
        raise Failure(Outcome.BAD_DATA, "BrokenParquet", f"{name}, after row {number}: {error}") from error
