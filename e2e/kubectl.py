"""kubectl, as a user would call it, for the demo and the end-to-end tests."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Object = dict[str, Any]


class KubectlError(RuntimeError):
    """kubectl said no; the text is what it printed."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl against one cluster and namespace. `env` holds PATH and, for the project's own cluster, KUBECONFIG."""

    env: Mapping[str, str]
    namespace: str

    def __call__(self, *args: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run `kubectl -n NAMESPACE ARGS`; returns its standard output.

        Raises:
            KubectlError: it exited with another code than 0.
        """
        done = self.run(*args, stdin=stdin, timeout=timeout)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(args)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def run(self, *args: str, stdin: str | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """The same, with whatever came of it."""
        return subprocess.run(
            self.command(*args), env=dict(self.env), input=stdin, text=True, capture_output=True, timeout=timeout
        )

    def command(self, *args: str) -> Sequence[str]:
        """The command line, for those who stream its output."""
        return ["kubectl", "-n", self.namespace, *args]

    def apply(self, *manifests: Mapping[str, Any], dry_run: bool = False) -> str:
        """Server-side apply of whole objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        extra = ["--dry-run=server"] if dry_run else []
        return self("apply", "--server-side", "--force-conflicts", *extra, "-f", "-", stdin=json.dumps(items))

    def get(self, kind: str, name: str) -> Object | None:
        """The object, or None where there is none."""
        text = self("get", kind, name, "--ignore-not-found", "-o", "json")
        found: Object | None = json.loads(text) if text.strip() else None
        return found

    def list(self, kind: str, selector: str = "") -> list[Object]:
        """All objects of a kind in the namespace that have the labels."""
        text = self("get", kind, "-o", "json", *(["-l", selector] if selector else []))
        items: list[Object] = json.loads(text)["items"]
        return items

    def delete(self, kind: str, name: str, *, wait: bool = True) -> None:
        """Delete the object if it is there."""
        self("delete", kind, name, "--ignore-not-found", f"--wait={str(wait).lower()}", timeout=300)

    def until(
        self, kind: str, name: str, reached: Callable[[Object], bool], *, seconds: float, every: float = 0.5
    ) -> Object:
        """Look at the object until `reached` holds; returns it.

        Raises:
            TimeoutError: it did not hold in time; the text has the object's last state.
        """
        end = time.monotonic() + seconds
        seen: Object | None = None
        while time.monotonic() < end:
            seen = self.get(kind, name)
            if seen is not None and reached(seen):
                return seen
            time.sleep(every)
        state = json.dumps((seen or {}).get("status"), indent=1)
        raise TimeoutError(f"{kind}/{name} in {self.namespace}: not reached in {seconds:.0f} s; last status: {state}")


def environment(base: Mapping[str, str], *, kubeconfig: Path | None, path: Path | None) -> dict[str, str]:
    """The environment of kubectl and helm: the given one, with the cluster's kubeconfig and tools in front."""
    env = dict(base)
    if kubeconfig is not None:
        env["KUBECONFIG"] = str(kubeconfig)
    if path is not None:
        env["PATH"] = f"{path}:{env.get('PATH', '')}"
    return env


def condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, str]:
    """The condition of that type, or an empty one."""
    found = [c for c in obj.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else {}
