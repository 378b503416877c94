"""`finetune plan`: what a FineTuneJob would run on, how much memory it needs, how long it takes and what it costs."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from datetime import date
from pathlib import Path

import yaml

from finetune_api import manifest
from finetune_api.job import FineTuneJob
from finetune_api.names import KUEUE_LABEL
from finetune_operator.planning import assume, inputs, surroundings, text
from finetune_operator.planning.surroundings import SurroundingsError
from finetune_operator.settings import TrainerSettings
from finetune_operator.sizing.choice.error import SizingError, UnknownKindError
from finetune_operator.sizing.cluster.offers import Available, of_whole_table
from finetune_operator.sizing.facts import DataFacts, ModelFacts
from finetune_operator.sizing.hardware import Table, builtin
from finetune_operator.sizing.hardware.read import HardwareError, read
from finetune_operator.sizing.job import Sized, pod_demand, size
from finetune_operator.sizing.known import UnknownModelError
from finetune_operator.sizing.models.keys import ModelError
from finetune_operator.support import unsupported

FITS, DOES_NOT_FIT, BAD = 0, 3, 78
_MORE = """
Without --nodes and --kubeconfig the plan is made from the whole hardware table (finetune hardware). Pods in the file of
--nodes take what they request, and Kueue's objects in it limit a job that names a queue. A model of the Hub
is looked up in the built-in catalogue; any other needs --model-config, or spec.model.architecture in the job.
-o json and -o yaml print what status.sizing would hold.
Exit codes: 0 it fits, 3 it does not, 78 the input is wrong, 2 the command line is.
"""
_WRONG = (
    *(manifest.ManifestError, assume.AssumeError, inputs.InputError),
    *(HardwareError, ModelError, SurroundingsError, UnknownKindError),
)
_WIDTH = 100
"""Characters of a line, at most; a narrow terminal has fewer."""
MOST_NODES = 8
"""That a plan without a cluster may take; the operator runs a job on one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _MORE
    parser.add_argument(
        "-f", "--file", type=Path, required=True, metavar="FILE", help="the job, YAML or JSON; - is stdin"
    )
    parser.add_argument("--name", help="which FineTuneJob of the file, if it has several")
    there = parser.add_mutually_exclusive_group()
    there.add_argument("--kubeconfig", type=Path, metavar="FILE", help="plan on this cluster's nodes, and what is free")
    there.add_argument(
        "--nodes", type=Path, metavar="FILE", help="plan on these nodes (kubectl get nodes -o yaml); - is stdin"
    )
    parser.add_argument("--hardware", type=Path, metavar="FILE", help="rows to add to the hardware table or to change")
    parser.add_argument("--model-config", type=Path, metavar="DIR", help="the model's directory, or its config.json")
    parser.add_argument("--rows", type=_count, metavar="N", help="training rows")
    parser.add_argument("--tokens", type=_count, metavar="N", help="training tokens of one epoch")
    parser.add_argument(
        "--assume", default="", metavar="NAME=VALUE,...", help="what another engine does, such as lossKernel=eager"
    )
    parser.add_argument("-o", "--output", choices=["text", "json", "yaml"], default="text", help="default: text")


def main(args: argparse.Namespace) -> int:
    """Returns 0 where it fits, 3 where it does not, 78 (EX_CONFIG) where the input is wrong."""
    if str(args.file) == str(args.nodes) == "-":
        return _wrong("-f and --nodes can't both be stdin; write one of them to a file")
    try:
        job, folder = _job(args.file, name=args.name)
        engine = assume.engine(args.assume)
        table = builtin() if args.hardware is None else read(args.hardware, today=date.today())
        model = inputs.model(job, config=args.model_config, folder=folder)
        if args.model_config is not None and (other := inputs.other_shape(job, model)) is not None:
            print(f"warning: {args.model_config}: {other}", file=sys.stderr)
        data = inputs.data(job, rows=args.rows, tokens=args.tokens, folder=folder)
        sized = size(
            job,
            model=model,
            data=data,
            available=_available(args, job, table),
            table=table,
            today=date.today(),
            engine=engine,
            max_nodes=MOST_NODES if _no_cluster(args) else 1,
        )
    except UnknownModelError as error:
        return _wrong(f"{error}, or name a directory that has it with --model-config")
    except _WRONG as error:
        return _wrong(str(error))
    except SizingError as error:
        print(f"does not fit: {error}", file=sys.stderr)
        return DOES_NOT_FIT
    for each in unsupported(job.spec.to_json(), labels=job.metadata.labels):
        if ": file://" not in each:  # those are for `finetune run`
            print(f"warning: this version would not run the job: {each}", file=sys.stderr)
    _print(args.output, job, model, data, sized)
    return FITS


def _wrong(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return BAD


def _job(file: Path, *, name: str | None) -> tuple[FineTuneJob, Path]:
    """The job, and the folder that its relative file:// paths start from."""
    if str(file) != "-":
        return manifest.read(file, name=name), file.resolve().parent
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise manifest.ManifestError("-", [manifest.Problem(None, "", f"is not UTF-8 text: {error}")]) from None
    return manifest.parse(text, file="-", name=name), Path.cwd()


def _no_cluster(args: argparse.Namespace) -> bool:
    return args.kubeconfig is None and args.nodes is None


def _available(args: argparse.Namespace, job: FineTuneJob, table: Table) -> Available:
    if args.kubeconfig is not None:
        # aiohttp and the client of Kubernetes take longer to import than a plan to make
        from finetune_operator.planning.live import from_kubeconfig

        cluster = from_kubeconfig(args.kubeconfig, namespace=job.metadata.namespace)
    elif args.nodes is not None:
        cluster = surroundings.from_file(args.nodes)
    else:
        return of_whole_table(table)
    for each in cluster.unseen:
        print(f"warning: {each}", file=sys.stderr)
    defaults = TrainerSettings()
    wanted = pod_demand(job, cpu=defaults.cpu, memory=defaults.memory)
    return surroundings.of_cluster(cluster, wanted, table, queue_name=job.metadata.labels.get(KUEUE_LABEL))


def _print(output: str, job: FineTuneJob, model: ModelFacts, data: DataFacts, sized: Sized) -> None:
    match output:
        case "json":
            print(json.dumps(sized.sizing.to_json(), indent=2))
        case "yaml":
            sys.stdout.write(yaml.safe_dump(sized.sizing.to_json(), sort_keys=False, width=120, allow_unicode=True))
        case _:
            width = min(max(shutil.get_terminal_size((_WIDTH, 0)).columns, 60), _WIDTH)
            page = text.plan_text(job, model=model, data=data, sized=sized, width=width)
            # bars, on a terminal that has none
            print(page if (sys.stdout.encoding or "").lower().startswith("utf") else page.replace("█", "#"))


def _count(given: str) -> int:
    try:
        number = int(given.replace("_", "").replace(",", ""))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{given}: must be a whole number, such as 5000000") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{given}: must be 1 or more")
    return number
