"""helm, as a user would call it. Built from its pinned sources where it is not in the cache yet."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml

from e2e.cluster import binaries
from e2e.cluster.layout import layout
from tests.apiserver import TOP

CHART = TOP / "charts/finetune-operator"
NAMESPACE = "finetune-system"


def run(*args: str, values: Mapping[str, Any] | None = None, env: Mapping[str, str] = os.environ) -> str:
    """What helm printed.

    Raises:
        RuntimeError: it exited with another code than 0; the text is what it said.
    """
    done = subprocess.run(
        [str(binaries.binary(layout(), "helm")), *args, "--namespace", NAMESPACE, *(["--values=-"] if values else [])],
        input=json.dumps(values),
        env=dict(env),
        text=True,
        capture_output=True,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout


def render(values: Mapping[str, Any] | None = None, *, release: str = "finetune-operator") -> str:
    """All manifests of the chart, as text."""
    return run("template", release, str(CHART), "--kube-version=1.34", values=values)


def objects(text: str) -> list[dict[str, Any]]:
    """The manifests in a text."""
    return [each for each in yaml.safe_load_all(text) if each]


def one(text: str, kind: str, name: str) -> dict[str, Any]:
    """The manifest of that kind and name."""
    (found,) = [each for each in objects(text) if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found
