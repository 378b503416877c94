"""What a person sees while it trains: a bar on a terminal, plain lines elsewhere. All on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from finetune_api.status import Progress
from finetune_operator.duration import duration

WIDE = 104
"""Columns of a terminal that has room for a bar beside the figures."""
LINE_SECONDS = 10.0
"""At most one line in this time where there is no terminal, and one at each new stage."""


class Display:
    """Shows progress until it is left."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._stage: str | None = None
        self._line = ""
        self._printed = float("-inf")
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description:<10}")]
        if console.width >= WIDE:
            columns += [BarColumn(bar_width=20)]
        self._bar = Bar(
            *columns, TextColumn("{task.fields[figures]}"), console=console, disable=not console.is_terminal
        )
        self._task = self._bar.add_task("Starting", total=None, figures="")

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, progress: Progress | None) -> None:
        """The latest progress; None: nothing new is known."""
        if progress is None:
            return
        stage = progress.stage or "Starting"
        text = figures(progress)
        self._bar.update(
            self._task, description=stage, completed=progress.step or 0, total=progress.max_steps, figures=text
        )
        if self._console.is_terminal:
            return
        due = stage != self._stage or self._clock() - self._printed >= LINE_SECONDS
        line = f"{stage}: {text}" if text else stage
        if due and line != self._line:
            self._stage, self._line, self._printed = stage, line, self._clock()
            self.say(line)

    def say(self, text: str) -> None:
        """One line, above the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stopping(self, requests: int) -> None:
        """What a request to stop leads to."""
        if requests == 1:
            self.say("stopping: a checkpoint is being written; once more ends it at once, without")
        else:
            self.say("killed")


def figures(progress: Progress) -> str:
    """Step, percent, losses, speed and the time that is left, as far as they are known."""
    parts = []
    if progress.max_steps:
        parts.append(f"{progress.step or 0}/{progress.max_steps}")
        parts.append(f"{progress.percent or 0}%")
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.4g}")
    if progress.eval_loss is not None:
        parts.append(f"eval {progress.eval_loss:.4g}")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:,.0f} tok/s")
    if progress.eta_seconds is not None and progress.stage == "Training":
        parts.append(f"ETA {duration(progress.eta_seconds)}")
    return "  ".join(parts)
