"""Long-running processes: started apart from this one, found again by a later command, ended by pid.

A process writes its own pid file before it becomes the program, so that there is no moment at which it runs
and a killed `up` has not recorded it. A pid may be reused, so it counts as ours only with the start time that
the file was written at.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import shell
from e2e.cluster.failure import ClusterError

# $1 is the pid file. Field 22 of stat is the start time in clock ticks. The program keeps the pid of this `sh`.
RECORD = (
    "read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ started _ </proc/$$/stat; "
    'echo "{\\"pid\\": $$, \\"started\\": $started}" >"$1.new" && mv "$1.new" "$1" && shift && exec "$@"'
)


@dataclass(frozen=True, slots=True)
class Stat:
    parent: int
    started: int
    zombie: bool


def stat(pid: int) -> Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name stands in parentheses and may hold spaces.
    fields = text.rpartition(")")[2].split()
    return Stat(parent=int(fields[1]), started=int(fields[19]), zombie=fields[0] in "ZX")


def children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (seen := stat(int(folder.name))) and seen.parent == pid and not seen.zombie:
            found.append(int(folder.name))
    return sorted(found)


@dataclass(frozen=True, slots=True)
class Process:
    """A named process of a cluster whose pid file is in `folder` and whose output is in `folder`/NAME.log."""

    folder: Path
    name: str

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def pidfile(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def pid(self) -> int | None:
        """The pid, if the process that was started still runs."""
        try:
            record = json.loads(self.pidfile.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        seen = stat(record["pid"])
        alive = seen is not None and not seen.zombie and seen.started == record["started"]
        return int(record["pid"]) if alive else None

    def start(self, argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        """Starts it in a session of its own; does nothing if it runs."""
        if self.pid() is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pidfile.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            log.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%S')} {' '.join(map(str, argv))}\n".encode())
            log.flush()
            subprocess.Popen(
                ["sh", "-c", RECORD, "sh", str(self.pidfile), *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env=shell.environment(env),
                start_new_session=True,
            )

    def require_alive(self) -> None:
        """Raises with the end of its log if the process has ended."""
        if self.pidfile.exists() and self.pid() is None:
            raise ClusterError(f"{self.name} ended; the end of {self.log}:\n{self.tail()}")

    def tail(self, lines: int = 8) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"

    def stop(self, *, grace: float = 5.0) -> None:
        """SIGTERM, then SIGKILL after `grace` seconds; with nsenter in front, its child is the one that is told."""
        pid = self.pid()
        if pid is not None:
            for target in children(pid) or [pid]:
                _signal(target, signal.SIGTERM)
            if not wait_until(lambda: self.pid() is None, seconds=grace):
                for target in [*children(pid), pid]:
                    _signal(target, signal.SIGKILL)
                if not wait_until(lambda: self.pid() is None, seconds=grace):
                    raise ClusterError(f"{self.name} (pid {pid}) does not end, even by SIGKILL; see {self.log}")
        self.pidfile.unlink(missing_ok=True)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(ready: Callable[[], bool], *, seconds: float, every: float = 0.05) -> bool:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True
