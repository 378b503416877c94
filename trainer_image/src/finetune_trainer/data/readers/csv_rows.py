"""CSV with a header line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from finetune_api.contract import Outcome
from finetune_trainer.data.readers.lines import lines
from finetune_trainer.data.row import Row
from finetune_trainer.failure import Failure

# Of one field, in characters. The csv module's own 131,072 is less than a long document has.
_FIELD_LIMIT = 1 << 30


def csv_file(path: Path, name: str) -> Iterator[Row]:
    """A row per record; all values are text. Raises BAD_DATA at a record that doesn't fit the header."""
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader((line for _, line in lines(path, name)), strict=True)
    row, line = 0, 1
    try:
        header = next(reader, [])
        if len(set(header)) != len(header):
            twice = next(column for column in header if header.count(column) > 1)
            raise Failure(Outcome.BAD_DATA, "BrokenCSV", f'{name}: the header has "{twice}" twice')
        line = reader.line_num + 1
        for record in reader:
            if record:
                row += 1
                if len(record) != len(header):
                    raise Failure(
                        Outcome.BAD_DATA,
                        "BrokenCSV",
                        f"row {row} of {name} (line {line}): has {len(record)} fields, the header {len(header)}; "
                        "quote fields that hold commas or line breaks",
                    )
                yield Row(name, row, line, dict(zip(header, record, strict=True)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise Failure(Outcome.BAD_DATA, "BrokenCSV", f"row {row + 1} of {name} (line {line}): {error}") from None
