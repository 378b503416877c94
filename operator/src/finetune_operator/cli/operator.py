"""`finetune operator`: run the operator, in the cluster or outside of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import uvloop

from finetune_operator import app, configuration, logs
from finetune_operator.hardware_file import HardwareFile
from finetune_operator.sizing.hardware.read import HardwareError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--kubeconfig", type=Path, help="how to reach the cluster; left out: this pod's service account"
    )
    parser.add_argument("--settings", type=Path, help="settings file (YAML); FINETUNE_* variables override it")
    parser.add_argument(
        "--namespace", action="append", metavar="NS", help="watch only this namespace (may be repeated); left out: all"
    )
    parser.add_argument("--log-format", choices=("json", "text"), help="json for machines, text for people")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="least severe level logged")


def main(args: argparse.Namespace) -> int:
    """Run until a signal; returns the exit code."""
    try:
        settings = configuration.load(args.settings)
        hardware = HardwareFile(Path(settings.hardware_file)) if settings.hardware_file is not None else None
    except (configuration.SettingsError, HardwareError) as error:
        print(error, file=sys.stderr)
        return 78  # EX_CONFIG
    given = {"namespaces": args.namespace, "log_format": args.log_format, "log_level": args.log_level}
    settings = settings.model_copy(update={name: value for name, value in given.items() if value is not None})
    logs.configure(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(app.run(settings, args.kubeconfig, hardware))
