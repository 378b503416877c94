"""Runs a program to its end; its failure becomes a sentence that names it and says what it said."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.cluster.failure import ClusterError

# Where mount, ip and iptables are, which `su` and some containers leave out of PATH.
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with `more`, and with the system's programs on PATH."""
    path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    return {**os.environ, "PATH": f"{path}:{SYSTEM_PATH}", **(more or {})}


def run(
    argv: Sequence[str | Path],
    *,
    why: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> str:
    """Standard output of `argv`. `why` is the purpose, for the error: "could not {why}"."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            env=environment(env),
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise ClusterError(f"could not {why}: {words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"could not {why}: {words[0]} ran longer than {timeout:.0f} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise ClusterError(f"could not {why}: `{' '.join(words)}` exited {done.returncode}: {said}")
    return done.stdout
