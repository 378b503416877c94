"""Runs compare.py in a pod of its own: the result must load in another process, with transformers and peft alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from e2e.demo.compare import Comparison, Example, Score
from e2e.kubectl import Kubectl, KubectlError

NAME = "quickstart-compare"
_SCRIPT = Path(__file__).with_name("compare.py")
_USER = 65532  # the trainer's, who wrote the result


def compare_in_pod(kube: Kubectl, image: str, *, data: str, work: str) -> Comparison:
    """Measure base and result that lie on the claims `data` and `work`.

    Raises:
        KubectlError: the pod could not start or failed; the text has its log.
        TimeoutError: it did not end in ten minutes.
    """
    kube.delete("pod", NAME)
    script = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}}
    kube.apply({**script, "data": {"compare.py": _SCRIPT.read_text(encoding="utf-8")}}, _pod(image, data, work))
    pod = kube.until("pod", NAME, lambda seen: seen["status"].get("phase") in ("Succeeded", "Failed"), seconds=600)
    log = kube("logs", NAME)
    if pod["status"]["phase"] == "Failed":
        raise KubectlError(f"the comparison in pod {NAME} failed:\n{log.strip()[-2000:]}")
    kube.delete("pod", NAME, wait=False)
    kube.delete("configmap", NAME, wait=False)
    # libraries may have said something before
    return _read(next(line for line in reversed(log.splitlines()) if line.startswith("{")))


def _read(line: str) -> Comparison:
    shown = json.loads(line)
    return Comparison(
        rows=shown["rows"],
        base=Score(**shown["base"]),
        tuned=Score(**shown["tuned"]),
        examples=[Example(**example) for example in shown["examples"]],
    )


def _pod(image: str, data: str, work: str) -> dict[str, Any]:
    command = ["python", "/compare/compare.py", "--base=/data/model", "--adapter=/result/output"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "compare",
                    "image": image,
                    "command": [*command, "--data=/data/test.jsonl", "--output=json"],
                    "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "3Gi"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [
                        {"name": "script", "mountPath": "/compare"},
                        {"name": "data", "mountPath": "/data", "readOnly": True},
                        {"name": "work", "mountPath": "/result", "readOnly": True},
                    ],
                }
            ],
            "volumes": [
                {"name": "script", "configMap": {"name": NAME}},
                {"name": "data", "persistentVolumeClaim": {"claimName": data}},
                {"name": "work", "persistentVolumeClaim": {"claimName": work}},
            ],
        },
    }
