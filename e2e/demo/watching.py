"""Follows a FineTuneJob as a user would, with `kubectl get ftj -w`, and says what went wrong when it did."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import suppress

from e2e.demo.announce import DemoError, say
from e2e.kubectl import Kubectl, Object, condition

LIMIT_SECONDS = 1200
GONE_SECONDS = 150
LOG_LINES = 40


def until_succeeded(kube: Kubectl, name: str) -> Object:
    """Stream `kubectl get ftj NAME -w` until the job has succeeded; returns it.

    Raises:
        DemoError: it failed, was deleted, or did not end in time; its description and logs are shown.
    """
    watch = _Watch(kube, name)
    end = time.monotonic() + LIMIT_SECONDS
    try:
        while time.monotonic() < end:
            job = kube.get("finetunejob", name)
            if job is None:
                raise DemoError(f"the job {name} is gone: someone deleted it; run the demo again")
            match job.get("status", {}).get("phase"):
                case "Succeeded":
                    time.sleep(0.5)  # the watch shows the last line too
                    return job
                case "Failed":
                    _explain(kube, name)
                    why = condition(job, "Failed").get("message", "no reason is given")
                    raise DemoError(f"the job {name} failed: {why}")
            watch.keep_going()
            time.sleep(1)
    finally:
        watch.stop()
    _explain(kube, name)
    raise DemoError(f"the job {name} did not end within {LIMIT_SECONDS} s; see its description above")


def until_gone(kube: Kubectl, name: str) -> None:
    """Wait until nothing is left of a job that was deleted.

    Raises:
        DemoError: something is still there; the text says what.
    """
    end = time.monotonic() + GONE_SECONDS
    while left := kube.list("jobs,pods,configmaps,persistentvolumeclaims", f"finetune.dev/job-name={name}"):
        if time.monotonic() > end:
            names = ", ".join(f"{child['kind']}/{child['metadata']['name']}" for child in left)
            raise DemoError(f"{names} of the deleted job {name} still there after {GONE_SECONDS} s; delete them")
        time.sleep(0.5)


class _Watch:
    """The kubectl that prints a line whenever the job changes."""

    def __init__(self, kube: Kubectl, name: str) -> None:
        self._kube = kube
        self._name = name
        self._process = self._start()

    def keep_going(self) -> None:
        """API servers end watches every few minutes; a user would start it again."""
        if self._process.poll() is not None:
            self._process = self._start("--watch-only", "--no-headers")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _start(self, *more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self._kube.command("get", "finetunejob", self._name, "--watch", *more),
            env=dict(self._kube.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        threading.Thread(target=_show, args=(process,), daemon=True).start()
        return process


def _show(process: subprocess.Popen[str]) -> None:
    # reading ends with an error when the process is stopped in the middle of a line
    with suppress(ValueError):
        for line in process.stdout or ():
            say(line)


def _explain(kube: Kubectl, name: str) -> None:
    """What a user would look at next."""
    selector = f"finetune.dev/job-name={name}"
    show(kube, "describe", "finetunejob", name)
    show(kube, "get", "pods", "-o", "wide", "-l", selector)
    show(kube, "logs", f"--tail={LOG_LINES}", "-l", selector, "--all-containers")


def show(kube: Kubectl, *command: str) -> None:
    """A command that a user would type, and what it says."""
    say(f"$ kubectl -n {kube.namespace} {' '.join(command)}")
    done = kube.run(*command)
    say(done.stdout.strip() or done.stderr.strip() or "(nothing)")
