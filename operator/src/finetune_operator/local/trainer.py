"""One trainer process, by the contract: configuration in, progress over HTTP, result and exit code out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType

from pydantic import ValidationError

from finetune_api.contract import (
    CONFIG_ENV,
    EXIT_CODES,
    OUTCOME_OF_EXIT_CODE,
    TERMINATION_LOG_ENV,
    Outcome,
    Result,
    TrainerConfig,
)
from finetune_api.job import FineTuneJob
from finetune_api.status import Progress
from finetune_operator.local.run_error import RunError
from finetune_operator.local.workdir import WorkDir, read_result
from finetune_operator.reconcile.retry import Cause

NEEDED = ("torch", "transformers", "peft", "trl", "datasets", "accelerate")
# The trainer is on this machine: a proxy has no part in it.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_ANSWER_SECONDS = 2


@dataclass(frozen=True, slots=True)
class End:
    """How the process ended."""

    outcome: Outcome | Cause
    code: int
    """Exit code for whoever started the run."""
    result: Result | None
    """What the trainer said itself, if it came to that."""


def require_packages() -> None:
    """Raises RunError where the trainer's packages are not installed. Nothing is imported."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise RunError(
            EXIT_CODES[Outcome.UNAVAILABLE],
            f"training needs {', '.join(missing)}, not installed here: pip install 'finetune-operator[trainer]'",
        )


class Trainer:
    """A running trainer. Leaving the `with` block ends it, whatever happens."""

    def __init__(self, config: TrainerConfig, work: WorkDir, environment: Mapping[str, str]) -> None:
        # what an earlier one left would be taken for this one's
        for path in (work.port, work.termination_log):
            path.unlink(missing_ok=True)
        work.config.write_text(json.dumps(config.to_json(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        self._work = work
        with work.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "finetune_trainer"],
                env={
                    **environment,
                    CONFIG_ENV: str(work.config),
                    TERMINATION_LOG_ENV: str(work.termination_log),
                    "PYTHONUNBUFFERED": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches this program alone, which passes on SIGTERM: a checkpoint, once
                start_new_session=True,
                pass_fds=(work.lock,),
            )

    def __enter__(self) -> Trainer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.terminate()
            self._process.wait()

    def terminate(self) -> None:
        """Ask it to write a checkpoint and end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all that it started, now."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def ended(self, within: float) -> End | None:
        """How it ended, or None if it still runs after `within` seconds."""
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            return None
        result = read_result(self._work.termination_log)
        if result is not None and EXIT_CODES[result.outcome] == code:
            return End(result.outcome, code, result)
        if code == 128 + signal.SIGKILL:
            # the recipe was killed, and its supervisor lived to say so
            return End(Cause.KILLED, code, result)
        if -code == signal.SIGKILL:
            return End(Cause.KILLED, 128 + signal.SIGKILL, None)
        # 0 without a result is no success
        outcome = OUTCOME_OF_EXIT_CODE.get(code, Cause.UNKNOWN) if code else Cause.UNKNOWN
        return End(outcome, code if code > 0 else EXIT_CODES[Outcome.INTERNAL], None)

    def progress(self) -> Progress | None:
        """How far it is; None while it can't be asked."""
        try:
            port = int(self._work.port.read_text(encoding="ascii"))
            with _DIRECT.open(f"http://127.0.0.1:{port}/progress", timeout=_ANSWER_SECONDS) as answer:
                return Progress.model_validate_json(answer.read())
        except (OSError, ValueError, ValidationError, urllib.error.URLError):
            return None


def environment(job: FineTuneJob, base: Mapping[str, str]) -> dict[str, str]:
    """The trainer's environment: this process's own, and what the job's podTemplate adds.

    Tokens come from here too: HF_TOKEN, or what `hf auth login` keeps.

    Raises:
        RunError: a variable comes from a Secret and isn't set here.
    """
    found = dict(base)
    for variable in (job.spec.pod_template.env if job.spec.pod_template else None) or []:
        if variable.value_from is None:
            found[variable.name] = variable.value or ""
        elif variable.name not in base:
            secret = variable.value_from.secret_key_ref.name
            raise RunError(
                EXIT_CODES[Outcome.BAD_CONFIG],
                f"spec.podTemplate.env: {variable.name} comes from the Secret {secret} of a cluster; "
                f"set {variable.name} in the environment of this command",
            )
    return found
