"""Entry point of the pod: check the configuration, supervise the recipe, report.

Nothing heavy is imported here, so /healthz answers at once and a bad configuration is told in a second.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from pydantic import ValidationError

from finetune_api.contract import (
    CONFIG_ENV,
    CONTRACT_VERSION,
    EXIT_CODES,
    TERMINATION_LOG,
    TERMINATION_LOG_ENV,
    Outcome,
    Result,
    TrainerConfig,
)
from finetune_trainer.failure import Failure, from_exception, scrub
from finetune_trainer.rundir import WorkDir, write_json
from finetune_trainer.server import serve
from finetune_trainer.supervisor import Supervisor, hold_signals
from finetune_trainer.verdict import Verdict, termination_message
from finetune_trainer.watch import Pulse

RECIPES = {"train": "finetune_trainer.run", "inspect": "finetune_trainer.inspection"}
"""The module that does each task of the contract."""

log = logging.getLogger("finetune_trainer")


def main() -> int:
    """Run one attempt. Returns the exit code."""
    hold_signals()
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    work: WorkDir | None = None
    try:
        config = read_config()
        work = WorkDir(Path(config.work_dir))
        verdict = attempt(config, work)
    except Exception as error:  # noqa: BLE001 - the border: every end becomes a result
        failure = from_exception(error)
        result = Result(outcome=failure.outcome, reason=failure.reason, message=failure.message)
        verdict = Verdict(result=result, exit_code=EXIT_CODES[failure.outcome])
    report(verdict, work)
    return verdict.exit_code


def read_config() -> TrainerConfig:
    """The file that FINETUNE_CONFIG names. Raises BAD_CONFIG, with the field, if it can't be understood."""
    path = os.environ.get(CONFIG_ENV)
    if not path:
        raise _bad("NoConfig", f"{CONFIG_ENV} is not set; it names the configuration file")
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise _bad("NoConfig", f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise _bad("InvalidConfig", f"{path} is not JSON: {error}") from error
    version = content.get("contractVersion") if isinstance(content, dict) else None
    if version != CONTRACT_VERSION:
        raise _bad(
            "ContractVersion",
            f"{path} has contractVersion {version!r}, and this trainer knows {CONTRACT_VERSION}: "
            "operator and trainer image must be of matching releases",
        )
    try:
        return TrainerConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _bad("InvalidConfig", f"{path}: {where}: {first['msg']}") from error


def attempt(config: TrainerConfig, work: WorkDir) -> Verdict:
    """One start of the recipe, from an empty run directory to a verdict."""
    work.begin()
    pulse = Pulse(work.progress)
    server = serve(config.port, pulse)
    if config.port == 0:
        work.port.write_text(str(server.server_address[1]), encoding="ascii")
    try:
        command = [sys.executable, "-m", RECIPES[config.task]]
        return Supervisor(command, processes=config.processes, work=work, pulse=pulse).run()
    finally:
        server.shutdown()


def report(verdict: Verdict, work: WorkDir | None) -> None:
    """Leave the result where the kubelet, the operator and people look for it."""
    result = verdict.result
    log.info("%s: %s: %s", result.outcome, result.reason, scrub(result.message))
    path = Path(os.environ.get(TERMINATION_LOG_ENV) or TERMINATION_LOG)
    try:
        path.write_bytes(termination_message(result))
    except OSError as error:
        # outside of a pod there is none
        log.info("no termination log: %s", error)
    if work is not None and work.root.is_dir():
        try:
            write_json(work.result, result.to_json())
        except OSError as error:
            log.warning("result.json can't be written: %s", error)


def _bad(reason: str, message: str) -> Failure:
    return Failure(Outcome.BAD_CONFIG, reason, message)


if __name__ == "__main__":
    sys.exit(main())
