"""File locks between processes: a second build or `up` waits for the first instead of racing it.

The kernel drops a flock when its holder dies, however it dies, so a killed command never leaves one behind.
"""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(folder: Path, name: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another command that holds {file.name}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
