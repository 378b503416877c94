"""Jobs of three sizes land on the GPUs that sizing says, on nodes of three kinds that only the scheduler knows of.

The shapes are those of Llama 3, read by the inspect pod from config.json; no weights are needed for that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e import claims
from e2e.kubectl import Kubectl, Object, condition
from e2e.pretend import Node, nodes, volume
from e2e.tests.conftest import Inputs
from e2e.tests.jobs import finetune_job, finished, gone, phase, pods, submit, told

pytestmark = pytest.mark.cluster

CLAIM, WORK = "shapes", "pretended-work"
NODES = {
    "gpu-t4": Node("Tesla-T4", 4),
    "gpu-l4": Node("NVIDIA-L4", 8),
    "gpu-a100": Node("NVIDIA-A100-SXM4-80GB", 8),
}
NODE_OF = {"T4": "gpu-t4", "L4": "gpu-l4", "A100-80GB": "gpu-a100"}
LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "rms_norm_eps": 1e-5,
}
SHAPES = {
    "1b": LLAMA
    | {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32}
    | {"head_dim": 64, "tie_word_embeddings": True},
    "8b": LLAMA | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
    "70b": LLAMA
    | {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64},
}
PARAMETERS = {"1b": 1_235_814_400, "8b": 8_030_261_248, "70b": 70_553_706_496}


@pytest.fixture(scope="module")
def cluster(
    kube: Kubectl, inputs: Inputs, own_cluster: bool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubectl]:
    """A claim with three models of which only the shape and the tokenizer are there, and nodes for them."""
    if not own_cluster:
        pytest.skip("nodes are not pretended in somebody else's cluster")
    folder = tmp_path_factory.mktemp("shapes")
    folder.chmod(0o755)
    for name, config in SHAPES.items():
        model = folder / name
        model.mkdir()
        (model / "config.json").write_text(json.dumps(config))
        (model / "model.safetensors").touch()  # that there are weights is all that is looked at
        for file in inputs.model.iterdir():
            if "token" in file.name or "template" in file.name:
                (model / file.name).write_bytes(file.read_bytes())
    (folder / "train.jsonl").write_bytes(inputs.test.with_name("train.jsonl").read_bytes())
    with claimed(kube, CLAIM, folder), nodes(kube, NODES):
        yield kube


@contextmanager
def claimed(kube: Kubectl, name: str, folder: Path) -> Iterator[None]:
    """A claim of that name, of a volume that pods on any node can have."""
    kube.delete("pvc", name)
    kube.delete("pv", name)
    claim = claims.claim(name, "1Gi")
    kube.apply(volume(name, str(folder)), {**claim, "spec": {**claim["spec"], "storageClassName": name}})
    try:
        yield
    finally:
        kube.delete("pvc", name)
        kube.delete("pv", name)


def job(name: str, shape: str, method: str, **changes: Any) -> Object:
    """As short as it gets: everything is left to sizing."""
    changes = {
        "model": {"source": f"pvc://{CLAIM}/{shape}"},
        "method": method,
        "dataset": {"train": {"source": f"pvc://{CLAIM}/train.jsonl"}},
        "storage": {"size": None, "storageClassName": WORK},
        "adapter": None,
        "training": None,
        "resources": None,
        **changes,
    }
    return finetune_job(name, **changes)


def cleared(kube: Kubectl, name: str) -> None:
    """Delete the job. Nobody but us ends a pod on a node that is not there."""
    kube.delete("finetunejob", name, wait=False)
    kube.delete("pv", WORK, wait=False)
    kube("delete", "pod", "-l", f"finetune.dev/job-name={name}", "--force", "--grace-period=0", "--ignore-not-found")
    gone(kube, name)
    kube.delete("pv", WORK)  # the next job's must not be one that is on its way


def trainer(kube: Kubectl, name: str) -> Object | None:
    """The pod of its first attempt."""
    return next(iter(pods(kube, name)), None)


def placed(kube: Kubectl, name: str, *, seconds: float = 180) -> Object:
    """The training pod, on a node."""
    kube.until(
        "finetunejob",
        name,
        lambda _: bool((trainer(kube, name) or {}).get("spec", {}).get("nodeName")),
        seconds=seconds,
    )
    pod = trainer(kube, name)
    assert pod is not None
    return pod


def sized(kube: Kubectl, name: str) -> Object:
    """The job once status.sizing is there."""

    def reached(job: Object) -> bool:
        assert phase(job) != "Failed", condition(job, "Failed")["message"]
        return "sizing" in job.get("status", {})

    return kube.until("finetunejob", name, reached, seconds=180)


@pytest.mark.parametrize(
    ("shape", "method", "asked", "count", "kinds"),
    [
        # on so few rows their costs are within a few hundredths of each other, and prices move
        ("1b", "qlora", {}, 1, ("T4", "L4")),
        ("1b", "lora", {}, 1, ("T4", "L4")),
        ("1b", "full", {}, 1, ("L4",)),
        ("1b", "lora", {"accelerator": "T4"}, 1, ("T4",)),
        ("8b", "qlora", {}, 1, ("T4", "L4")),
        ("8b", "lora", {}, 1, ("L4",)),
        ("8b", "full", {}, 2, ("A100-80GB",)),
        ("70b", "qlora", {}, 1, ("A100-80GB",)),
        ("70b", "lora", {}, 4, ("A100-80GB",)),
    ],
)
def test_it_lands_where_sizing_says(
    cluster: Kubectl, shape: str, method: str, asked: dict[str, Any], count: int, kinds: tuple[str, ...]
) -> None:
    name = "-".join([shape, method, *(str(value).lower() for value in asked.values())])
    cluster.apply(volume(WORK, "/nowhere"))
    submit(cluster, job(name, shape, method, resources=asked or None))
    try:
        sizing = sized(cluster, name)["status"]["sizing"]
        accelerator = sizing["accelerator"]
        assert sizing["count"] == count
        assert accelerator in kinds
        assert sizing["parameters"] == PARAMETERS[shape]
        assert sizing["memory"]["requiredGiB"] <= sizing["memory"]["availableGiB"]
        assert sizing["memory"]["totalGiB"] == pytest.approx(sum(sizing["memory"]["terms"].values()), abs=0.02)
        assert sizing["estimatedCostUSD"] > 0
        assert sizing["sharding"] == ("fsdp" if count > 1 else "none")
        assert sizing["alternatives"]
        pod = placed(cluster, name)
        assert pod["spec"]["nodeName"] == NODE_OF[accelerator]
        assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == str(count)
        shown = cluster("get", "ftj", name, "-o", "wide")
        assert accelerator in shown
        assert "~$" in shown, "what it is expected to cost, before it has cost anything"
    finally:
        cleared(cluster, name)


def test_what_fits_nowhere_is_refused_with_numbers(cluster: Kubectl) -> None:
    submit(cluster, job("70b-full", "70b", "full"))
    done = finished(cluster, "70b-full", seconds=180)
    said = condition(done, "Sized")
    assert phase(done) == "Failed"
    assert (said["status"], said["reason"]) == ("False", "NothingFits")
    for words in ("70.6B parameters", "GiB per GPU", "8x A100-80GB", "optimizer", "Fits: qlora on 1x A100-80GB"):
        assert words in said["message"]
    assert trainer(cluster, "70b-full") is None
    told(cluster, "70b-full", "70.6B parameters")
    cleared(cluster, "70b-full")


@contextmanager
def held(kube: Kubectl, node: str, gpus: int) -> Iterator[None]:
    """A pod of somebody else has so many GPUs of the node."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    container = {
        "name": "busy",
        "image": "busy",
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
        "securityContext": security | {"seccompProfile": {"type": "RuntimeDefault"}},
    }
    busy = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "busy"},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "containers": [container],
        },
    }
    let_go(kube)  # what an earlier run may have left
    try:
        kube.apply(busy)
        kube.until("pod", "busy", lambda pod: "nodeName" in pod["spec"], seconds=120)
        yield
    finally:
        let_go(kube)


def let_go(kube: Kubectl) -> None:
    """Nobody but us ends a pod on a node that is not there."""
    kube("delete", "pod", "busy", "--force", "--grace-period=0", "--ignore-not-found")


def test_what_fits_only_what_is_taken_waits_and_says_for_what(cluster: Kubectl) -> None:
    with held(cluster, "gpu-a100", 8):
        try:
            cluster.apply(volume(WORK, "/nowhere"))
            submit(cluster, job("waits", "70b", "lora"))
            sized(cluster, "waits")
            waiting = cluster.until(
                "finetunejob",
                "waits",
                lambda job: condition(job, "Admitted").get("reason") == "Unschedulable",
                seconds=120,
            )
            assert phase(waiting) == "Pending"
            assert "waits for 4 free A100-80GB on one node" in condition(waiting, "Admitted")["message"]
            assert "gpu-a100 has 0 of 8 free" in condition(waiting, "Sized")["message"]
            let_go(cluster)
            assert placed(cluster, "waits")["spec"]["nodeName"] == "gpu-a100"
        finally:
            cleared(cluster, "waits")


def test_jobs_that_come_together_share_what_is_free(cluster: Kubectl) -> None:
    names = [f"together-{number}" for number in range(3)]
    with held(cluster, "gpu-l4", NODES["gpu-l4"].count - 1):
        try:
            for name in names:
                cluster.apply(volume(name, "/nowhere"))
                submit(cluster, job(name, "8b", "lora", storage={"size": None, "storageClassName": name}))
            kinds = [sized(cluster, name)["status"]["sizing"]["accelerator"] for name in names]
            assert sorted(kinds) == ["A100-80GB", "A100-80GB", "L4"]
            nodes_of_pods = [placed(cluster, name)["spec"]["nodeName"] for name in names]
            assert nodes_of_pods == [NODE_OF[kind] for kind in kinds], "nobody waits"
        finally:
            for name in names:
                cleared(cluster, name)
                cluster.delete("pv", name)


def test_money_and_time_are_limits(cluster: Kubectl) -> None:
    submit(cluster, job("too-dear", "8b", "full", resources={"maxCostUSD": 0.01}))
    done = finished(cluster, "too-dear", seconds=180)
    assert "spec.resources.maxCostUSD" in condition(done, "Sized")["message"]
    cleared(cluster, "too-dear")
