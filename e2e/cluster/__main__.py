"""`python3 -m e2e.cluster`: a real one-node Kubernetes for development and end-to-end tests."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster import binaries, controlplane, gpus, report
from e2e.cluster.down import clean, down
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import layout
from e2e.cluster.up import up


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    where = layout()
    try:
        match options.command:
            case "build":
                if not options.binary:
                    binaries.build(where, (*binaries.CONTROL_PLANE, *binaries.NODE))
                for name in options.binary:
                    print(binaries.binary(where, name))
            case "up" if options.control_plane_only:
                kubeconfig = controlplane.start(options.directory or where.cache / "control-plane", options.port)
                print(f"export KUBECONFIG={kubeconfig}")
            case "up":
                up(where, pretend=_one_kind(options.gpus))
            case "gpus":
                gpus.want(where, gpus.parse(options.gpus))
                gpus.apply(where)
            case "down" if options.control_plane_only:
                controlplane.stop(options.directory or where.cache / "control-plane")
            case "down":
                down(where)
            case "status":
                return report.status(where)
            case "env":
                print(f"export KUBECONFIG={where.kubeconfig} PATH={where.path}:$PATH")
            case "clean":
                clean(where)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of the output has seen enough
        sys.stdout = None
    except OSError as error:
        print(
            f"error: {error.strerror}: {error.filename}; is the disk full, or the folder another user's?",
            file=sys.stderr,
        )
        return 1
    return 0


def _one_kind(asked: Sequence[str]) -> gpus.Gpus | None:
    if len(asked) > 1:
        raise ClusterError(f"--gpus {' '.join(asked)}: the cluster has one node, and a node has one kind of GPU")
    return gpus.parse(asked[0]) if asked else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m e2e.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    kinds = f"KIND is one of {', '.join(gpus.KINDS)}"

    build = commands.add_parser("build", help="build what is missing (about 9 minutes the first time on 2 cores)")
    names = sorted(name for module in binaries.ALL for name in module.binaries)
    build.add_argument(
        "binary", nargs="*", metavar="BINARY", help=f"of {', '.join(names)}; all but versitygw if none is named"
    )

    start = commands.add_parser("up", help="start what does not run, and wait until the node is ready")
    start.add_argument("--gpus", action="append", default=[], metavar="KIND=N", help=f"pretend to have N GPUs; {kinds}")
    stop = commands.add_parser("down", help="end everything; images, binaries and pushed images stay")
    for command in (start, stop):
        command.add_argument(
            "--control-plane-only",
            action="store_true",
            help="etcd and the API server alone, without root, beside the cluster",
        )
        command.add_argument("--directory", type=Path, help="where that control plane keeps its state")
    start.add_argument("--port", type=int, default=7443, help="its first of three ports (default %(default)s)")

    pretend = commands.add_parser("gpus", help="change the GPUs that the running node pretends to have")
    pretend.add_argument("gpus", metavar="KIND=N", help=f"N=0 for none; {kinds}")
    commands.add_parser(
        "status", help="what runs, where it logs, what a former cluster has left; exit code 0 if all runs"
    )
    commands.add_parser("env", help="print what to evaluate in a shell: KUBECONFIG and PATH")
    commands.add_parser("clean", help="take the cluster down and remove its images, binaries and caches")
    return parser


if __name__ == "__main__":
    sys.exit(main())
