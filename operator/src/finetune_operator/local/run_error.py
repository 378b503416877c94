"""Why a run ends without a result of its trainer."""

from __future__ import annotations


class RunError(Exception):
    """The run cannot go on; the text says what, where, what to do. `code` is the exit code, as in the contract."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
