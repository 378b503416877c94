"""Attempt after attempt until the job is done, by the operator's own table of what follows an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from finetune_api.contract import EXIT_CODES, Outcome
from finetune_api.job import FineTuneJob
from finetune_api.names import attempt_name
from finetune_api.status import Attempt, Sizing
from finetune_operator.local.display import Display
from finetune_operator.local.place import Place, configured
from finetune_operator.local.stopping import Stopping
from finetune_operator.local.trainer import End, Trainer
from finetune_operator.local.workdir import WorkDir
from finetune_operator.reconcile.retry import Action, after, backoff
from finetune_operator.sizing import defaults
from finetune_operator.sizing.split import halved, with_micro_batch

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """One job in its folder on this machine."""

    job: FineTuneJob
    place: Place
    work: WorkDir
    sizing: Sizing
    environment: Mapping[str, str]

    def until_done(self, display: Display, stopping: Stopping) -> End:
        """The end of the last attempt: success, a failure that no attempt can mend, or an interruption.

        Earlier calls of the command have given the micro-batch that fits, but do not count as attempts of this one.

        Raises:
            RunError: a source or destination is nowhere on this machine.
        """
        earlier = self.work.attempts()
        number = earlier[-1].number if earlier else 0
        micro = min((each.micro_batch_size or 1 for each in earlier), default=self.sizing.micro_batch_size or 1)
        limit = (self.job.spec.retry.max_attempts if self.job.spec.retry else None) or defaults.MAX_ATTEMPTS
        made: list[Attempt] = []
        while True:
            number += 1
            end, attempt = self._attempt(number, micro, display, stopping)
            made.append(attempt)
            self.work.remember(attempt)
            if end.outcome is Outcome.INTERRUPTED or stopping.requests:
                return end
            verdict = after(made, limit=limit, patience=limit)
            match verdict.action:
                case Action.FINISH | Action.STOP:
                    return end
                case Action.ADAPT:
                    micro = halved(self.sizing, micro, job=self.job) or micro
                    display.say(f"{verdict.why}: going on with a micro-batch of {micro}, the same examples per step")
                case Action.RETRY | Action.RESUME:
                    seconds = backoff(made).total_seconds()
                    message = attempt.message or verdict.why
                    display.say(f"attempt {number} failed: {message}; the next begins in {seconds:.0f} s")
                    if stopping.wait(seconds):
                        return End(Outcome.INTERRUPTED, EXIT_CODES[Outcome.INTERRUPTED], None)

    def _attempt(self, number: int, micro: int, display: Display, stopping: Stopping) -> tuple[End, Attempt]:
        config = configured(
            self.job,
            self.place,
            sizing=with_micro_batch(self.sizing, micro, job=self.job),
            attempt=number,
            micro_batch_size=micro,
        )
        began = datetime.now(UTC)
        with Trainer(config, self.work, self.environment) as trainer:

            def stop(requests: int) -> None:
                display.stopping(requests)
                trainer.terminate() if requests == 1 else trainer.kill()

            stopping.asked = stop
            if stopping.requests:  # it came while the process was started
                stop(stopping.requests)
            while (end := trainer.ended(POLL_SECONDS)) is None:
                display.show(trainer.progress())
        said = end.result
        return end, Attempt(
            number=number,
            job_name=attempt_name(self.job.metadata.name, number),
            start_time=began,
            finish_time=datetime.now(UTC),
            outcome=end.outcome.value,
            reason=said.reason if said else None,
            message=said.message if said else None,
            resumed_from_step=said.resumed_from_step if said else None,
            micro_batch_size=micro,
        )
