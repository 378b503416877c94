"""Process 1 of the pod: starts the ranks, hands SIGTERM on, watches for a stall, and says how it ended.

Ranks are started directly, with the environment that torch's env:// rendezvous reads. On one node torchrun would add
only a process that exits 1 whatever a rank said, and that kills after 30 seconds what may still be writing a
checkpoint.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from finetune_api.contract import Result
from finetune_trainer.failure import scrub
from finetune_trainer.rundir import WorkDir, read_json
from finetune_trainer.stacks import REQUEST
from finetune_trainer.verdict import Circumstances, Ended, Verdict, verdict
from finetune_trainer.watch import Pulse

log = logging.getLogger(__name__)

TERMINATION = {signal.SIGTERM, signal.SIGINT}
_WAKE_SECONDS = 0.5
_LOADING_GRACE_SECONDS = 8.0
"""How long a rank that has nothing to save may take to end after SIGTERM."""
_FOLLOW_GRACE_SECONDS = 30.0
"""How long the other ranks may take to fail by themselves after the first has."""
_STACKS_SECONDS = 2.0
_OOM_EVENTS = Path("/sys/fs/cgroup/memory.events")


def hold_signals() -> None:
    """Keep SIGTERM pending from here on, for this process and what it starts, until each asks for it.

    So none is lost between the start of a process and the moment in which it knows what to do.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, TERMINATION | {signal.SIGCHLD})


class Supervisor:
    """Runs `command` once per rank."""

    def __init__(self, command: Sequence[str], *, processes: int, work: WorkDir, pulse: Pulse) -> None:
        self._command = list(command)
        self._processes = processes
        self._work = work
        self._pulse = pulse
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._ended: list[Ended] = []
        self._terminated_at: float | None = None
        self._first_failed_at: float | None = None
        self._stalled: str | None = None
        self._oom_before = _oom_kills()

    def run(self) -> Verdict:
        """Until all ranks have ended."""
        self._start()
        while self._running:
            received = signal.sigtimedwait(TERMINATION | {signal.SIGCHLD}, _WAKE_SECONDS)
            if received is not None and received.si_signo in TERMINATION:
                self._terminate()
            self._collect()
            self._follow()
            self._look_for_stall()
        # one that came while the last rank ended
        while (late := signal.sigtimedwait(TERMINATION, 0)) is not None:
            log.info("SIGTERM at the very end (%d)", late.si_signo)
            self._terminated_at = self._terminated_at or time.monotonic()
        return verdict(self._ended, self._circumstances())

    def _start(self) -> None:
        port = _free_port()
        for rank in range(self._processes):
            environment = {
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(self._processes),
                "LOCAL_WORLD_SIZE": str(self._processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
            if self._processes == 1:
                # or accelerate would set up a process group of one
                for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
                    del environment[name]
                # and TRL refuses a process that sees more GPUs than it uses
                visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
                environment["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]
            # the blocked signals are inherited; the rank unblocks them when its handler stands
            self._running[rank] = subprocess.Popen(self._command, env=environment)

    def _terminate(self) -> None:
        if self._terminated_at is None:
            log.info("SIGTERM: asking the recipe to stop")
            self._terminated_at = time.monotonic()
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)

    def _collect(self) -> None:
        for rank, process in list(self._running.items()):
            status = process.poll()
            if status is None:
                continue
            del self._running[rank]
            self._ended.append(Ended(rank=rank, status=status, result=self._result_of(rank)))
            if status != 0 and self._first_failed_at is None:
                self._first_failed_at = time.monotonic()
        _reap_strangers({process.pid for process in self._running.values()})

    def _follow(self) -> None:
        """End what waits for something that won't come: ranks of a failed one, and loading after SIGTERM."""
        now = time.monotonic()
        loading = (self._pulse.progress().stage or "Loading") == "Loading"
        too_slow = self._terminated_at is not None and loading and now - self._terminated_at > _LOADING_GRACE_SECONDS
        orphaned = self._first_failed_at is not None and now - self._first_failed_at > _FOLLOW_GRACE_SECONDS
        if too_slow or orphaned:
            self._kill()

    def _look_for_stall(self) -> None:
        if self._stalled is not None or self._terminated_at is not None or not self._running:
            return
        self._stalled = self._pulse.stalled()
        if self._stalled is None:
            return
        log.error("stalled: %s", self._stalled)
        for process in self._running.values():
            process.send_signal(REQUEST)
        time.sleep(_STACKS_SECONDS)
        for rank in self._running:
            stacks = self._work.stacks(rank)
            if stacks.exists():
                log.error("stacks of rank %d:\n%s", rank, scrub(stacks.read_text(encoding="utf-8", errors="replace")))
        self._kill()

    def _kill(self) -> None:
        for process in self._running.values():
            process.kill()

    def _result_of(self, rank: int) -> Result | None:
        content = read_json(self._work.rank_result(rank))
        if content is None:
            return None
        try:
            return Result.model_validate(content)
        except ValidationError:
            log.exception("the result of rank %d can't be read", rank)
            return None

    def _circumstances(self) -> Circumstances:
        from finetune_trainer.checkpoint import newest_step

        return Circumstances(
            terminated=self._terminated_at is not None,
            stalled=self._stalled,
            host_oom=_oom_kills() > self._oom_before,
            last_step=newest_step(self._work.checkpoints),
        )


def _reap_strangers(own: set[int]) -> None:
    """As process 1, bury what others left behind: workers of a killed rank end up here."""
    if os.getpid() != 1:
        return
    try:
        while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if dead.si_pid in own:
                # ours: Popen buries it in the next round
                return
            os.waitpid(dead.si_pid, 0)
    except ChildProcessError:
        return


def _oom_kills() -> int:
    """How often the kernel killed a process of this control group for its memory; 0 where that can't be read."""
    try:
        lines = _OOM_EVENTS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
