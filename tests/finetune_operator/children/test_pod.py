"""What a pod must never be, whatever its job says."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.status import Host, Sizing
from finetune_operator.children.claim import work_claim
from finetune_operator.children.job import attempt_job
from finetune_operator.settings import StorageSettings, TrainerSettings
from finetune_operator.sizing.hardware import PRODUCT_LABEL, Hardware, builtin
from tests.finetune_operator.children.jobs import EVERYTHING, SHORTEST, job


def pod(changes: dict[str, Any], *, accelerator: str = "cpu") -> dict[str, Any]:
    """The spec of the pod."""
    hardware = builtin().row(accelerator)
    manifest = attempt_job(
        job(changes), attempt=1, hardware=hardware, sizing=sizing_on(hardware), settings=TrainerSettings()
    )
    spec: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return spec


def sizing_on(hardware: Hardware) -> Sizing:
    """The least that a sizing is."""
    return Sizing(accelerator=hardware.name, count=0 if hardware.resource is None else 1, nodes=1)


@pytest.mark.parametrize("changes", [SHORTEST, EVERYTHING])
def test_restricted_pod_security(changes: dict[str, Any]) -> None:
    spec = pod(changes)
    [container] = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & set(spec)
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
    assert all(set(volume) - {"name"} <= allowed for volume in spec["volumes"])


def test_every_mount_has_one_volume_and_every_claim_is_one_volume() -> None:
    spec = pod(EVERYTHING)
    names = [volume["name"] for volume in spec["volumes"]]
    assert len(names) == len(set(names))
    assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == set(names)
    claims = [v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v]
    assert sorted(claims) == ["data", "invoices-work", "results"]
    paths = [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]]
    assert len(paths) == len(set(paths))


def test_a_claim_that_is_read_and_written_is_not_read_only_as_a_whole() -> None:
    spec = pod(EVERYTHING)
    [data] = [v for v in spec["volumes"] if v.get("persistentVolumeClaim", {}).get("claimName") == "data"]
    assert "readOnly" not in data["persistentVolumeClaim"]
    mounts = {m["mountPath"]: m.get("readOnly", False) for m in spec["containers"][0]["volumeMounts"]}
    assert mounts["/sources/data"] is True
    assert mounts["/mnt/data"] is True
    assert mounts["/destinations/1"] is False


def test_secrets_are_referred_to() -> None:
    env = {var["name"]: var for var in pod(EVERYTHING)["containers"][0]["env"]}
    assert env["HF_TOKEN"] == {
        "name": "HF_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}},
    }
    assert "FINETUNE_DATASET_TOKEN" not in env


def test_a_data_set_with_a_token_of_its_own() -> None:
    token = {"name": "other", "key": "token"}
    changes = {"dataset": {"train": {"source": "hf://org/data", "tokenSecretRef": token}}}
    env = {var["name"]: var for var in pod(changes)["containers"][0]["env"]}
    assert env["FINETUNE_DATASET_TOKEN"]["valueFrom"]["secretKeyRef"] == token
    assert "HF_TOKEN" not in env


def environment(changes: dict[str, Any], **settings: str) -> dict[str, str]:
    """The container's, under this setting of the operator."""
    hardware = builtin().row("cpu")
    trainer = TrainerSettings(env=settings)
    manifest = attempt_job(job(changes), attempt=1, hardware=hardware, sizing=sizing_on(hardware), settings=trainer)
    return {var["name"]: var["value"] for var in manifest["spec"]["template"]["spec"]["containers"][0]["env"]}


def test_the_operators_environment_is_overridden_by_the_jobs_and_neither_breaks_the_contract() -> None:
    own = [{"name": name, "value": "job"} for name in ("A", "B", "XDG_CACHE_HOME")]
    changes = {"podTemplate": {"env": own}, "resources": {"cpu": "0.5"}}
    env = environment(changes, A="operator", C="operator", HOME="/root")
    assert (env["A"], env["B"], env["C"]) == ("job", "job", "operator")
    assert env["HOME"] == "/work/home"
    assert env["XDG_CACHE_HOME"] == "job", "the schema lets it be set, so it must not be ignored"
    assert env["OMP_NUM_THREADS"] == "1"
    assert environment(changes, OMP_NUM_THREADS="9")["OMP_NUM_THREADS"] == "9"


@pytest.mark.parametrize(("accelerator", "limit"), [("cpu", None), ("L4", "1"), ("nvidia-gpu", "1")])
def test_gpus_are_limits(accelerator: str, limit: str | None) -> None:
    assert pod(SHORTEST, accelerator=accelerator)["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") == limit


def required(spec: dict[str, Any]) -> list[Any]:
    """The terms of which a node must meet one."""
    node = spec.get("affinity", {}).get("nodeAffinity", {})
    return list(node.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", []))


def test_the_kind_of_gpu_is_demanded_in_every_alternative() -> None:
    demand = {"key": PRODUCT_LABEL, "operator": "In", "values": ["NVIDIA-A40"]}
    terms = required(pod(EVERYTHING, accelerator="A40"))
    assert len(terms) == 2
    assert all(demand in term["matchExpressions"] for term in terms)
    assert required(pod(SHORTEST, accelerator="A40")) == [{"matchExpressions": [demand]}]
    assert required(pod(SHORTEST, accelerator="nvidia-gpu")) == []
    assert required(pod(SHORTEST)) == []


@pytest.mark.parametrize(
    ("accelerator", "keys"),
    [
        ("cpu", []),
        ("L4", ["nvidia.com/gpu"]),
        ("A100-40GB-MIG-2g.10gb", ["nvidia.com/mig-2g.10gb", "nvidia.com/gpu"]),
        ("MI300X", ["amd.com/gpu"]),
    ],
)
def test_taints_of_nodes_with_accelerators_are_tolerated(accelerator: str, keys: list[str]) -> None:
    assert [each["key"] for each in pod(SHORTEST, accelerator=accelerator).get("tolerations", [])] == keys


def test_nodes_that_may_be_taken_away_are_asked_for_or_avoided() -> None:
    allowed = pod({"resources": {"spot": True}}, accelerator="L4")
    assert {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"} in (
        allowed["tolerations"]
    )
    for term in required(pod({"resources": {"spot": False}}, accelerator="L4")):
        avoided = {each["key"]: each["values"] for each in term["matchExpressions"] if each["operator"] == "NotIn"}
        assert avoided["karpenter.sh/capacity-type"] == ["spot"]
        assert avoided["eks.amazonaws.com/capacityType"] == ["SPOT"]


HOST = Host(memory_gib=41, shared_memory_gib=2, storage_gib=285, grace_seconds=834)


@pytest.mark.parametrize(
    ("changes", "host", "memory", "storage"),
    [
        (SHORTEST, None, "4Gi", "50Gi"),
        (SHORTEST, HOST, "41Gi", "285Gi"),
        # what the job says is what it gets
        ({"resources": {"memory": "8Gi"}, "storage": {"size": "10Gi"}}, HOST, "8Gi", "10Gi"),
        # a setting that is more stays
        (SHORTEST, Host(memory_gib=2, shared_memory_gib=1, storage_gib=3, grace_seconds=31), "4Gi", "50Gi"),
    ],
)
def test_what_is_left_open_is_sized(changes: dict[str, Any], host: Host | None, memory: str, storage: str) -> None:
    hardware = builtin().row("A100-80GB")
    sizing = Sizing(accelerator=hardware.name, count=8, nodes=1, sharding="fsdp", host=host)
    of = job(changes)
    manifest = attempt_job(of, attempt=1, hardware=hardware, sizing=sizing, settings=TrainerSettings())
    spec = manifest["spec"]["template"]["spec"]
    resources = spec["containers"][0]["resources"]
    assert resources["limits"] == {"memory": memory, "nvidia.com/gpu": "8"}
    assert resources["requests"]["memory"] == memory
    [shared] = [volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"] if volume["name"] == "shm"]
    assert shared == ("2Gi" if host is HOST else "1Gi")
    assert spec["terminationGracePeriodSeconds"] == (834 if host is HOST else 120)
    claim = work_claim(of, StorageSettings(), host=host)
    assert claim["spec"]["resources"]["requests"]["storage"] == storage
