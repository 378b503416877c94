"""What may change once a job exists, on a real API server: each field of spec, changed, added and removed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from e2e.kubectl import Kubectl
from finetune_api import crd
from finetune_api.spec import MUTABLE
from tests.apiserver import ApiServer, said
from tests.finetune_api.manifest_cases import job

pytestmark = pytest.mark.apiserver

SPEC = crd.object_schema()["properties"]["spec"]
# A value of each field, and another one.
VALUES: dict[str, tuple[Any, Any]] = {
    "model": ({"source": "hf://org/model"}, {"source": "hf://org/model", "revision": "main"}),
    "method": ("lora", "qlora"),
    "objective": ("sft", "dpo"),
    "backend": ("trl", "unsloth"),
    "dataset": ({"train": {"source": "hf://org/data"}}, {"trainOn": "all"}),
    "adapter": ({"rank": 8, "targetModules": ["a", "b"]}, {"targetModules": ["b", "a"]}),
    "training": ({"learningRate": 1e-4}, {"seed": 1}),
    "resources": ({"count": 1}, {"cpu": 2}),
    "podTemplate": ({"labels": {"a": "b"}}, {"labels": {"a": None, "c": "b"}}),
    "image": ("a", "b"),
    "storage": ({"size": "1Gi"}, {"size": "1024Mi"}),
    "evaluation": ({"metrics": ["f1"]}, {"metrics": ["f1", "accuracy"]}),
    "output": ({"merge": False}, {"merge": True}),
    "checkpoint": ({"keep": 1}, {"keep": 2}),
    "tracking": ({"tensorboard": {}}, {"tensorboard": {"path": "a"}}),
    "retry": ({"maxAttempts": 1}, {"maxAttempts": None}),
    "suspend": (False, True),
    "activeDeadlineSeconds": (1, 2),
    "ttlSecondsAfterFinished": (0, 1),
}
OPTIONAL = [name for name in VALUES if name not in SPEC["required"]]


@pytest.fixture(scope="module")
def kubectl(apiserver: ApiServer) -> Kubectl:
    """A namespace with a job that says nothing more than it must, and one that says everything."""
    kubectl = apiserver.in_namespace("immutable")
    kubectl("apply", "-f", "-", stdin=job(name="least"))
    most = yaml.safe_load(job(name="most"))
    most["spec"] = {name: value for name, (value, _) in VALUES.items()}
    kubectl("apply", "-f", "-", stdin=json.dumps(most))
    return kubectl


def patch(kubectl: Kubectl, name: str, spec: dict[str, Any]) -> tuple[bool, str]:
    """Whether the server would take the merge patch, and what it says."""
    done = kubectl.run("patch", "ftj", name, "--type=merge", "--dry-run=server", "-p", json.dumps({"spec": spec}))
    return done.returncode == 0, said(done)


def test_the_table_is_complete():
    assert set(VALUES) == set(SPEC["properties"])


@pytest.mark.parametrize("field", VALUES)
def test_changed(kubectl: Kubectl, field: str):
    taken, words = patch(kubectl, "most", {field: VALUES[field][1]})
    assert taken == (field in MUTABLE), words
    assert taken or f"{field} cannot be changed once the job exists" in words


@pytest.mark.parametrize("field", OPTIONAL)
def test_added(kubectl: Kubectl, field: str):
    taken, words = patch(kubectl, "least", {field: VALUES[field][0]})
    assert taken == (field in MUTABLE), words
    assert taken or f"{field} cannot be added or removed once the job exists" in words


@pytest.mark.parametrize("field", OPTIONAL)
def test_removed(kubectl: Kubectl, field: str):
    taken, words = patch(kubectl, "most", {field: None})
    assert taken == (field in MUTABLE), words
    assert taken or f"{field} cannot be added or removed once the job exists" in words


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"affinity": {"nodeAffinity": {}}}, {"affinity": {"nodeAffinity": None, "podAffinity": {}}}),
        ({"nodeSelector": {"a": "b"}}, {"nodeSelector": {"a": "c"}}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "a"}, {"key": "b"}]}),
        ({"env": [{"name": "A", "value": "x"}]}, {"env": [{"name": "A", "value": "z"}]}),
        ({"env": [{"name": "A", "value": "x"}]}, {"env": None}),
    ],
)
def test_deep_in_the_pod_template(kubectl: Kubectl, before: dict[str, Any], after: dict[str, Any]):
    kubectl("delete", "ftj", "deep", "--ignore-not-found")
    kubectl("apply", "-f", "-", stdin=job(f"podTemplate: {json.dumps(before)}", name="deep"))
    taken, words = patch(kubectl, "deep", {"podTemplate": after})
    assert not taken
    assert "podTemplate cannot be changed once the job exists" in words


def test_what_is_the_same_is_no_change(kubectl: Kubectl):
    spec = {name: VALUES[name][0] for name in VALUES}
    assert patch(kubectl, "most", spec) == (True, "finetunejob.finetune.dev/most patched (no change)\n")
