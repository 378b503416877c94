"""One process of a recipe: the environment that libraries read, SIGTERM, and an end that always becomes a result.

The supervisor (`__main__.py`) starts it as `python -m` the recipe's module; the result is left to it in WORK_DIR/run.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import NoReturn, Protocol

# Before any library that reads them is imported: no telemetry from training pods, no progress bars in their logs.
os.environ.update(HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
# What Triton does unasked; it warns that a later one won't.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")
# No two packs are of one length, and fixed segments of GPU memory would fill up with gaps.
if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
    # its older name, by which most know it
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")

from finetune_api.contract import CONFIG_ENV, EXIT_CODES, Outcome, Result, TrainerConfig
from finetune_trainer import failure
from finetune_trainer.interruption import Interruption
from finetune_trainer.progress import Reporter
from finetune_trainer.rundir import WorkDir, write_json
from finetune_trainer.stacks import dump_on_request

log = logging.getLogger("finetune_trainer")


class Recipe(Protocol):
    """What a process does."""

    def __call__(
        self, config: TrainerConfig, work: WorkDir, interruption: Interruption, reporter: Reporter, *, rank: int
    ) -> Result:
        """Raises Failure, or whatever the libraries raise."""


def main(recipe: Recipe) -> NoReturn:
    """Run the recipe as one rank, leave its result to the supervisor, and exit with its outcome's code."""
    code = _run(recipe)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of CUDA, NCCL or a downloader may hold an ordinary exit up for ever, and the result is written.
    os._exit(code)


def _run(recipe: Recipe) -> int:
    rank = int(os.environ.get("RANK", "0"))
    config = TrainerConfig.model_validate_json(Path(os.environ[CONFIG_ENV]).read_bytes())
    work = WorkDir(Path(config.work_dir))
    logging.basicConfig(
        stream=sys.stdout,
        format="%(asctime)s %(levelname)s %(message)s",
        level=logging.INFO if rank == 0 else logging.WARNING,
    )
    # advice of libraries to their programmers, which whoever reads a pod's log can't act on
    warnings.simplefilter("ignore", FutureWarning)
    for library in ("trl", "accelerate", "bitsandbytes"):
        logging.getLogger(library).setLevel(logging.ERROR)
    dump_on_request(work.stacks(rank))
    interruption = Interruption()
    reporter = Reporter(work.progress if rank == 0 else None)
    try:
        interruption.install()
        result = recipe(config, work, interruption, reporter, rank=rank)
    except BaseException as error:  # noqa: BLE001 - the border: every end of this process becomes a result
        result = _failed(error, work)
    write_json(work.rank_result(rank), result.to_json())
    return EXIT_CODES[result.outcome]


def _failed(error: BaseException, work: WorkDir) -> Result:
    # imported here, as everything in the recipe: what failed may have been an import
    from finetune_trainer.checkpoint import newest_step

    known = failure.from_exception(error)
    if known.outcome is Outcome.INTERNAL or not isinstance(error, failure.Failure):
        log.error("%s", failure.scrub("".join(traceback.format_exception(error))))
    log.error("%s: %s", known.reason, known.message)
    return Result(outcome=known.outcome, reason=known.reason, message=known.message, step=newest_step(work.checkpoints))
