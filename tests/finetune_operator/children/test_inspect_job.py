"""The Job that reads the inputs, as YAML that a reviewer reads, and where its pod may run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.spec.pod import PodTemplate
from finetune_operator.children.config_map import inspect_config_map
from finetune_operator.children.inspect_job import inspect_job
from finetune_operator.children.inspect_placement import inspect_placement, speaks_of_accelerators
from finetune_operator.reconcile.inspect import inspect_config
from tests.finetune_operator.children.jobs import EVERYTHING, SHORTEST, job
from tests.finetune_operator.children.test_golden import GOLDEN, SETTINGS

RESOURCES = ("nvidia.com/gpu", "amd.com/gpu", "nvidia.com/gpu")


@pytest.mark.parametrize(("name", "changes"), [("shortest", SHORTEST), ("everything", EVERYTHING)])
def test_golden(name: str, changes: dict[str, Any]) -> None:
    of = job(changes)
    config = inspect_config_map(of, inspect_config(of))
    config["data"] = {key: json.loads(text) for key, text in config["data"].items()}  # to be readable
    manifests = {"inspect_config_map": config, "inspect_job": inspect_job(of, SETTINGS, resources=RESOURCES)}
    for child, manifest in manifests.items():
        path = GOLDEN / f"{name}.{child}.yaml"
        text = yaml.dump(manifest, sort_keys=False, Dumper=_NoAliases)
        if os.environ.get("GOLDEN") == "rewrite":
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{path.name}: look at the difference, then GOLDEN=rewrite"


@pytest.mark.parametrize("changes", [SHORTEST, EVERYTHING])
def test_everything_is_read_where_it_is_mounted_and_nothing_is_written(changes: dict[str, Any]) -> None:
    of = job(changes)
    config = inspect_config(of).to_json()
    pod = inspect_job(of, SETTINGS, resources=RESOURCES)["spec"]["template"]["spec"]
    mounts = pod["containers"][0]["volumeMounts"]
    paths = [Path(config["workDir"]), Path(config["dataset"]["train"]["path"])]
    for path in paths:
        assert any(path.is_relative_to(mount["mountPath"]) for mount in mounts), path
    writable = [mount["name"] for mount in mounts if not mount.get("readOnly")]
    assert all("emptyDir" in volume for volume in pod["volumes"] if volume["name"] in writable)
    assert "destinations" not in config["output"] or config["output"]["destinations"] == []


def test_no_accelerator_and_no_claim_of_the_jobs_own() -> None:
    text = json.dumps(inspect_job(job(EVERYTHING), SETTINGS, resources=RESOURCES)["spec"]["template"]["spec"])
    assert "A100" not in text
    assert "invoices-work" not in text
    assert '"nvidia.com/gpu": ' not in text


@pytest.mark.parametrize(
    ("key", "speaks"),
    [
        ("nvidia.com/gpu.product", True),
        ("nvidia.com/mig.config", True),
        ("amd.com/gpu.family", True),
        ("cloud.google.com/gke-accelerator", True),
        ("k8s.amazonaws.com/accelerator", True),
        ("node.kubernetes.io/instance-type", True),
        ("gpu", True),
        ("karpenter.k8s.aws/instance-gpu-name", True),
        ("topology.kubernetes.io/zone", False),
        ("kubernetes.io/arch", False),
        ("cloud.google.com/gke-nodepool", False),
        ("team", False),
    ],
)
def test_what_speaks_of_accelerators(key: str, speaks: bool) -> None:
    assert speaks_of_accelerators(key) is speaks


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def wants(key: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": ["x"]}


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (required({"matchExpressions": [wants("zone")]}), required({"matchExpressions": [wants("zone")]})),
        (
            required({"matchExpressions": [wants("zone"), wants("nvidia.com/gpu.product")]}),
            required({"matchExpressions": [wants("zone")]}),
        ),
        # one of the alternatives asks for nothing but a GPU
        (required({"matchExpressions": [wants("zone")]}, {"matchExpressions": [wants("gpu")]}), None),
        (
            {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}},
            None,
        ),
    ],
)
def test_affinity(given: dict[str, Any], left: dict[str, Any] | None) -> None:
    template = PodTemplate.model_validate({"affinity": given})
    assert inspect_placement(template, taints=()).get("affinity") == left


@pytest.mark.parametrize(
    ("changes", "tolerated"),
    [
        ({}, ["amd.com/gpu", "nvidia.com/gpu"]),  # the data are on a claim, which may be a GPU node's own
        ({"dataset": {"train": {"source": "hf://org/data"}}}, []),
    ],
)
def test_nodes_with_accelerators_are_for_claims_that_only_they_may_have(
    changes: dict[str, Any], tolerated: list[str]
) -> None:
    pod = inspect_job(job(changes), SETTINGS, resources=RESOURCES)["spec"]["template"]["spec"]
    assert [toleration["key"] for toleration in pod.get("tolerations", [])] == tolerated


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
