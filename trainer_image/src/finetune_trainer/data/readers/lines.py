"""Lines of a text file, decoded one by one so that a wrong byte can be named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from finetune_api.contract import Outcome
from finetune_trainer.failure import Failure

_BOM = b"\xef\xbb\xbf"
# UTF-32 begins as UTF-16 does, in both orders of bytes
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def lines(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """(line number from 1, line with its ending) of the UTF-8 file `path`, without a byte order mark.

    `name` is what messages call the file. Raises BAD_DATA at a byte that isn't UTF-8.
    """
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw
            if number == 1:
                if raw.startswith(_UTF16):
                    raise Failure(Outcome.BAD_DATA, "NotUTF8", f"{name} is UTF-16 or UTF-32; save it as UTF-8")
                line = raw.removeprefix(_BOM)
            try:
                yield number, line.decode()
            except UnicodeDecodeError as error:
                at = offset + len(raw) - len(line) + error.start
                raise Failure(
                    Outcome.BAD_DATA,
                    "NotUTF8",
                    f"{name}, line {number}: byte 0x{line[error.start]:02x} at offset {at} of the file is not UTF-8 "
                    f"({error.reason}); save the file as UTF-8",
                ) from None
            offset += len(raw)
