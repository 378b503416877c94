"""What the demo says while it works: a line per step, what the step's programs say, and how long it took."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TREE = Path(__file__).parents[2]


class DemoError(RuntimeError):
    """A step failed; the text says which, why, and what to do."""


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step, and say how long it took once it is done."""
    began = time.monotonic()
    print(f"==> {title}", flush=True)
    yield
    print(f"    done in {time.monotonic() - began:.0f} s", flush=True)


def say(text: str) -> None:
    """Something that the step has to say, below its title."""
    for line in text.splitlines():
        print(f"    {line}".rstrip(), flush=True)


def run(command: Sequence[str], *, why: str, env: Mapping[str, str], stdin: str | None = None) -> None:
    """Run a program in the tree to its end, its output shown as it comes.

    Raises:
        DemoError: it isn't there, or exited with another code than 0.
    """
    finish(start(command, why=why, env=env, stdin=stdin), why=why)


def start(
    command: Sequence[str], *, why: str, env: Mapping[str, str], stdin: str | None = None
) -> subprocess.Popen[str]:
    """Start it and go on; `finish` shows what it said meanwhile.

    Raises:
        DemoError: there is no such program.
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=TREE,
            env=dict(env),
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise DemoError(f"{why}: {command[0]} is not installed, or not on PATH") from None
    if stdin is not None and process.stdin is not None:
        process.stdin.write(stdin)
        process.stdin.close()
    return process


def finish(process: subprocess.Popen[str], *, why: str) -> None:
    """Show the rest of what it says and wait for its end.

    Raises:
        DemoError: it exited with another code than 0.
    """
    if process.stdout is None:
        raise ValueError("not started by `start`")
    for line in process.stdout:
        say(line)
    if process.wait() != 0:
        command = " ".join(map(str, process.args)) if isinstance(process.args, list | tuple) else str(process.args)
        raise DemoError(f"{why}: `{command}` exited {process.returncode}; what it said is above")


def fail(error: Exception) -> int:
    """Tell of the failure; returns the exit code."""
    sys.stdout.flush()
    print(f"error: {error}", file=sys.stderr)
    return 1
