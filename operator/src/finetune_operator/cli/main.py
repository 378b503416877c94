"""`finetune`: the operator, local runs, and what is generated. A subcommand imports what it needs when it is called."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

# name -> (module with add_arguments(parser) and main(args) -> exit code, what `finetune --help` says)
COMMANDS = {
    "run": ("finetune_operator.cli.run", "train a FineTuneJob on this machine, without a cluster"),
    "hardware": ("finetune_operator.cli.hardware", "list the kinds of accelerator that are known, and their prices"),
    "plan": ("finetune_operator.cli.plan", "say what a FineTuneJob would run on, its memory, time and cost"),
    "operator": ("finetune_operator.cli.operator", "run the operator"),
    "crds": ("finetune_operator.cli.crds", "write, or check, the CustomResourceDefinition and its reference"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the subcommand; returns its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="finetune", description="Fine-tune language models from one FineTuneJob.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name in args[:1]:  # only the one that is asked for is imported: `run` needs no kopf, `operator` no torch
            import_module(module).add_arguments(subparser)
    parsed = parser.parse_args(args)
    try:
        code: int = import_module(COMMANDS[parsed.command][0]).main(parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # who reads, such as head, has seen enough; what is left must not fail again when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code


if __name__ == "__main__":
    sys.exit(main())
