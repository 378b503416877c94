"""`python3 -m e2e.images`: builds the operator's and the trainer's images and pushes them."""

import argparse
import os
import sys
import urllib.request
from collections.abc import Sequence

from e2e.cluster import packages
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import REGISTRY, layout
from e2e.images.build import IMAGES, build_and_push

PREFIX = "finetune"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        registry = _registry(options.registry)
        packages.require_root("build images")
        packages.install(packages.IMAGE_PROGRAMS)
        images = tuple(image for image in IMAGES if options.only in (None, image.name))
        for name, reference in build_and_push(layout(), images, registry).items():
            print(f"{name} {reference}")
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _registry(asked: str | None) -> str:
    """Where to push: what the user names, or the development cluster's own registry."""
    named = asked or os.environ.get("REGISTRY")
    if named:
        return named.rstrip("/")
    if os.environ.get("CLUSTER") == "current":
        raise ClusterError(
            "CLUSTER=current needs REGISTRY=HOST/PREFIX: a registry that you may push to and that cluster can pull from"
        )
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{REGISTRY}/v2/", timeout=5).close()
    except OSError as error:
        raise ClusterError(
            f"the registry at {REGISTRY} does not answer ({error}); "
            "start the cluster with `python3 -m e2e.cluster up`, or name another registry with --registry"
        ) from None
    return f"{REGISTRY}/{PREFIX}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m e2e.images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build, push, and note the references by digest in run/images.json")
    build.add_argument("--registry", metavar="HOST[:PORT]/PREFIX", help=f"instead of $REGISTRY or {REGISTRY}/{PREFIX}")
    build.add_argument("--only", choices=[image.name for image in IMAGES], help="one of them")
    return parser


if __name__ == "__main__":
    sys.exit(main())
