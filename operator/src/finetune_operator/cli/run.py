"""`finetune run`: trains a FineTuneJob on this machine, from the file that a cluster would be given."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from rich.console import Console

from finetune_api import manifest
from finetune_api.contract import EXIT_CODES, Outcome, Result
from finetune_operator.local import place, summary, trainer, workdir
from finetune_operator.local.attempts import Run
from finetune_operator.local.display import Display
from finetune_operator.local.machine import Machine, gpus
from finetune_operator.local.run_error import RunError
from finetune_operator.local.stopping import Stopping

_MORE = """
A run that was stopped (Ctrl-C writes a checkpoint) goes on with the same command. Hugging Face tokens are taken from
HF_TOKEN or from what `hf auth login` keeps; a data set with another token has it in FINETUNE_DATASET_TOKEN.
Exit codes: 0 done, 65 bad data, 66 not found, 69 packages missing or a service down, 77 no permission, 78 bad job,
80 out of GPU memory, 81 diverged, 82 stopped with a checkpoint.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _MORE
    parser.add_argument("-f", "--file", type=Path, required=True, metavar="FILE", help="the job, YAML or JSON")
    parser.add_argument(
        "--work", type=Path, required=True, metavar="DIR", help="folder for checkpoints and the result, one per job"
    )
    parser.add_argument("--device", choices=["cpu", "gpu"], help="instead of what the job asks for")
    parser.add_argument("--name", help="which FineTuneJob of the file, if it has several")
    parser.add_argument(
        "--mount",
        action="append",
        default=[],
        type=_mount,
        metavar="CLAIM=DIR",
        help="folder that stands for a claim of pvc:// sources; may be given several times",
    )
    parser.add_argument(
        "-o", "--output", choices=["text", "json"], default="text", help="json: print the result for programs"
    )


def main(args: argparse.Namespace) -> int:
    """Returns the exit code of the outcome."""
    console = Console(stderr=True)
    try:
        return _run(args, console)
    except manifest.ManifestError as error:
        return _refuse(console, EXIT_CODES[Outcome.BAD_CONFIG], str(error))
    except RunError as error:
        return _refuse(console, error.code, str(error))


def _run(args: argparse.Namespace, console: Console) -> int:
    job = manifest.read(args.file, name=args.name)
    place.require_support(job)
    trainer.require_packages()
    here = place.Place(work=args.work.resolve(), job_folder=args.file.resolve().parent, mounts=dict(args.mount))
    sizing = place.sized(job, args.device, here, machine=lambda: Machine(gpus()))
    # nothing is written before all of the job is known to make sense here
    config = place.configured(job, here, sizing=sizing, attempt=1, micro_batch_size=sizing.micro_batch_size or 1)
    base = config.model.source.path or config.model.source.repository or ""
    environment = trainer.environment(job, os.environ)
    with workdir.opened(here.work) as work:
        job = work.claim(job)
        if (done := work.result()) is not None:
            console.print(f"already done in {work.root}; delete it to train anew", markup=False, soft_wrap=True)
            _tell(args.output, done, summary.succeeded(done, job=job, work=work, base=base))
            return EXIT_CODES[Outcome.SUCCEEDED]
        run = Run(job=job, place=here, work=work, sizing=sizing, environment=environment)
        with Stopping() as stopping, Display(console) as display:
            end = run.until_done(display, stopping)
        text = summary.summary(end, job=job, work=work, base=base, command=["finetune", *sys.argv[1:]])
        if end.outcome is Outcome.SUCCEEDED:
            _tell(args.output, end.result, text)
        else:
            console.print(text, markup=False, highlight=False, soft_wrap=True)
            if args.output == "json" and end.result is not None:
                print(json.dumps(end.result.to_json()))
        return end.code


def _tell(output: str, result: Result | None, text: str) -> None:
    print(json.dumps(result.to_json()) if output == "json" and result is not None else text)


def _refuse(console: Console, code: int, text: str) -> int:
    console.print(f"error: {text}", markup=False, highlight=False, soft_wrap=True)
    return code


def _mount(text: str) -> tuple[str, Path]:
    claim, separator, folder = text.partition("=")
    if not (claim and separator and folder):
        raise argparse.ArgumentTypeError(f"{text}: must be CLAIM=DIR")
    return claim, Path(folder).resolve()
