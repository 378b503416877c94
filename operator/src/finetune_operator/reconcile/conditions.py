"""The conditions of a status: machines read them, so they follow the conventions to the letter.

Every condition is always there, carries the current generation, and changes its transition time only with its status.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from finetune_api.conditions import Type
from finetune_api.status import Condition

MESSAGE_LIMIT = 4096
"""Characters; a scheduler on a large cluster can be wordy, and etcd pays for it."""

# What a job begins with.
INITIAL: dict[Type, tuple[bool | None, str, str]] = {
    Type.RECONCILING: (True, "New", "the job has not been acted on yet"),
    Type.STALLED: (False, "Progressing", ""),
    Type.SIZED: (None, "New", ""),
    Type.ADMITTED: (False, "NotStarted", "no pod was created yet"),
    Type.SUSPENDED: (False, "NotSuspended", ""),
    Type.TRAINED: (False, "NotStarted", ""),
    Type.EVALUATED: (False, "NotStarted", ""),
    Type.EXPORTED: (False, "NotStarted", ""),
    Type.COMPLETE: (False, "NotFinished", ""),
    Type.FAILED: (False, "NotFailed", ""),
}


class Conditions:
    """The conditions of one job while a decision is being made about it."""

    def __init__(self, before: Sequence[Condition], *, generation: int, now: datetime) -> None:
        self._generation = generation
        self._now = now
        self._before = {condition.type: condition for condition in before}
        self._given: dict[Type, tuple[bool | None, str, str]] = {}

    def set(self, kind: Type, status: bool | None, reason: str, message: str = "") -> None:
        """Say so, and why. None: unknown."""
        self._given[kind] = (status, reason, message[:MESSAGE_LIMIT])

    def of(self, kind: Type) -> Condition:
        """As it will be written."""
        before = self._before.get(kind)
        if kind not in self._given and before is not None:
            return before.model_copy(update={"observed_generation": self._generation})
        status, reason, message = self._given.get(kind, INITIAL[kind])
        word = _WORDS[status]
        unchanged = before is not None and before.status == word
        return Condition(
            type=kind,
            status=word,
            observed_generation=self._generation,
            last_transition_time=before.last_transition_time if before is not None and unchanged else self._now,
            reason=reason,
            message=message,
        )

    def before(self, kind: Type) -> Condition | None:
        """As it stood when the decision began."""
        return self._before.get(kind)

    def is_true(self, kind: Type) -> bool:
        """Whether it holds now."""
        return self.of(kind).status == "True"

    def all(self) -> list[Condition]:
        """Of every type, in their order."""
        return [self.of(kind) for kind in INITIAL]


_WORDS: dict[bool | None, Literal["True", "False", "Unknown"]] = {True: "True", False: "False", None: "Unknown"}
