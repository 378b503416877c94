"""The CustomResourceDefinition on a real API server: what users see of it, and what becomes of what they get wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.apiserver import CRD, TOP, ApiServer, said
from tests.finetune_api.manifest_cases import job

pytestmark = pytest.mark.apiserver

EXAMPLES = sorted((TOP / "examples").glob("*.yaml"))


def test_it_is_accepted_whole(apiserver: ApiServer):
    # an API server that warns has taken the definition but not all of it; Helm may own some of it by now
    done = apiserver.kubectl.run("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", str(CRD))
    assert (done.returncode, done.stderr) == (0, "")
    found = apiserver.kubectl.get("crd", "finetunejobs.finetune.dev")
    assert found is not None
    assert {c["type"]: c["status"] for c in found["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }


def test_short_name_and_category(apiserver: ApiServer):
    apiserver.kubectl("get", "ftj")
    apiserver.kubectl("get", "finetune")


@pytest.fixture(scope="module")
def published(apiserver: ApiServer) -> ApiServer:
    """The server, once it tells of the resource's fields: a moment after it takes the resource itself."""
    for _ in range(300):
        if apiserver.kubectl.run("explain", "ftj").returncode == 0:
            return apiserver
        time.sleep(0.1)
    pytest.fail("the fields of FineTuneJob were not published in 30 seconds or more")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("ftj", "Fine-tunes a language model, and says what came of it."),
        ("ftj.spec.training", "learningRate\t<number>\n    Peak learning rate; left out: 2e-4 for lora and qlora"),
        ("ftj.spec.dataset.train", "source\t<string> -required-"),
        ("ftj.spec.adapter.targetModules", "always a list; left out: [all-linear]"),
        ("ftj.spec.podTemplate.labels", "FIELD: labels <map[string]string>"),
        ("ftj.spec.resources.memory", "FIELD: memory <Object>"),
        ("ftj.status.conditions.lastTransitionTime", "When status last changed."),
    ],
)
def test_explain(published: ApiServer, path: str, words: str):
    assert words in published.kubectl("explain", path)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples(apiserver: ApiServer, example: Path):
    apiserver.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(example))


def test_unknown_fields(apiserver: ApiServer):
    kubectl = apiserver.in_namespace("unknown")
    text = job("learningRate: 1", name="unknown")
    strict = kubectl.run("apply", "-f", "-", stdin=text)  # kubectl's default
    assert 'unknown field "spec.learningRate"' in said(strict)
    server_side = kubectl.run("apply", "--server-side", "--validate=ignore", "-f", "-", stdin=text)
    assert ".spec.learningRate: field not declared in schema" in said(server_side)
    kubectl("create", "--validate=ignore", "-f", "-", stdin=text)
    pruned = kubectl.get("ftj", "unknown")
    assert pruned is not None
    assert "learningRate" not in pruned["spec"]


def test_status_is_there_from_the_start(apiserver: ApiServer):
    kubectl = apiserver.in_namespace("status")
    kubectl("apply", "-f", "-", stdin=job(name="new") + "status: {phase: Succeeded}\n")
    found = kubectl.get("ftj", "new")
    assert found is not None
    assert found["status"] == {"observedGeneration": -1}


STATUS = {
    "phase": "Training",
    "sizing": {"accelerator": "A100-80GB", "count": 2, "nodes": 1, "gpus": 2},
    "display": {"progress": "42%", "eta": "12m30s", "loss": "1.234", "cost": "$3.10"},
    "attempts": [{"number": 1, "jobName": "watched-a1"}, {"number": 2, "jobName": "watched-a2"}],
}
MORE = "{name: watched, labels: {kueue.x-k8s.io/queue-name: team-a}}"


def test_columns(apiserver: ApiServer):
    kubectl = apiserver.in_namespace("columns")
    kubectl("apply", "-f", "-", stdin=job(name="watched").replace("{name: watched}", MORE))
    kubectl("patch", "ftj", "watched", "--subresource=status", "--type=merge", "-p", json.dumps({"status": STATUS}))
    head, row = kubectl("get", "ftj", "watched").splitlines()
    assert head.split() == ["NAME", "PHASE", "METHOD", "MODEL", "GPUS", "PROGRESS", "ETA", "LOSS", "COST", "AGE"]
    shown = ["watched", "Training", "lora", "hf://org/model", "2", "42%", "12m30s", "1.234", "$3.10"]
    assert row.split()[:-1] == shown
    head, row = kubectl("get", "ftj", "watched", "-o", "wide").splitlines()
    assert head.split()[10:] == ["QUEUE", "ATTEMPT", "ACCELERATOR"]
    assert row.split()[10:] == ["team-a", "2", "A100-80GB"]


def test_field_selectors(apiserver: ApiServer):
    kubectl = apiserver.in_namespace("selectors")
    for method in ("lora", "full"):
        kubectl("apply", "-f", "-", stdin=job(name=method, method=method))
    status = json.dumps({"status": {"phase": "Queued"}})
    kubectl("patch", "ftj", "lora", "--subresource=status", "--type=merge", "-p", status)
    assert kubectl("get", "ftj", "-o", "name", "--field-selector=spec.method=full").split() == [
        "finetunejob.finetune.dev/full"
    ]
    assert kubectl("get", "ftj", "-o", "name", "--field-selector=status.phase=Queued").split() == [
        "finetunejob.finetune.dev/lora"
    ]
