"""Which kinds a node has, and what is said of those that no row knows."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from finetune_operator.sizing.hardware import Hardware, Price, Table, UnknownAccelerator, builtin

GPU = "nvidia.com/gpu"
PRODUCT = "nvidia.com/gpu.product"
GKE = "cloud.google.com/gke-accelerator"
PARTITION = "cloud.google.com/gke-gpu-partition-size"
SHARING = "cloud.google.com/gke-gpu-sharing-strategy"
TYPE = "node.kubernetes.io/instance-type"


def node(allocatable: dict[str, str], labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": "n1", "labels": labels or {}}, "status": {"allocatable": {"cpu": "8", **allocatable}}}


@pytest.mark.parametrize(
    ("allocatable", "labels", "kinds"),
    [
        ({}, {}, []),
        ({GPU: "0"}, {PRODUCT: "NVIDIA-L4"}, []),  # drained of its GPUs, or all are sliced
        ({GPU: "4"}, {PRODUCT: "NVIDIA-L4"}, ["L4"]),
        ({GPU: 4}, {PRODUCT: "NVIDIA-L4"}, ["L4"]),
        ({GPU: "4"}, {}, ["nvidia-gpu"]),
        ({GPU: "1"}, {GKE: "nvidia-l4", TYPE: "g2-standard-4"}, ["L4"]),
        ({GPU: "8"}, {TYPE: "p4de.24xlarge"}, ["A100-80GB"]),
        ({GPU: "8"}, {TYPE: "a-machine-of-ours"}, ["nvidia-gpu"]),
        ({GPU: "1"}, {TYPE: "g6f.xlarge"}, ["nvidia-gpu"]),  # a part of an L4
        ({GPU: "8"}, {TYPE: "p4d.24xlarge", PRODUCT: "NVIDIA-L4"}, ["L4"]),  # who has looked knows better
        (
            {GPU: "56"},
            {PRODUCT: "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", PARTITION: "1g.5gb"},
            ["A100-40GB-MIG-1g.5gb-single"],
        ),
        ({"amd.com/gpu": "8"}, {TYPE: "Standard_ND96isr_MI300X_v5"}, ["MI300X"]),
        ({"amd.com/gpu": "8"}, {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}, ["MI300X"]),
        ({GPU: "14"}, {PRODUCT: "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb"}, ["A100-80GB-MIG-3g.40gb-single"]),
        (
            {GPU: "6", "nvidia.com/mig-3g.40gb": "2", "nvidia.com/mig-1g.10gb": "3"},
            {
                PRODUCT: "NVIDIA-H100-80GB-HBM3",
                "nvidia.com/mig-3g.40gb.product": "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb",
                "nvidia.com/mig-1g.10gb.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
            },
            ["H100-80GB", "H100-80GB-MIG-1g.10gb", "H100-80GB-MIG-3g.40gb"],
        ),
        # one resource name, two GPUs: the label tells
        (
            {"nvidia.com/mig-3g.40gb": "2"},
            {"nvidia.com/mig-3g.40gb.product": "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb"},
            ["A100-80GB-MIG-3g.40gb"],
        ),
    ],
)
def test_kinds_of_a_node(allocatable: dict[str, str], labels: dict[str, str], kinds: list[str]) -> None:
    found = builtin().kinds_of_node(node(allocatable, labels))
    assert [kind.name if isinstance(kind, Hardware) else str(kind) for kind in found] == kinds


@pytest.mark.parametrize(
    ("allocatable", "labels", "said"),
    [
        ({GPU: "1"}, {PRODUCT: "NVIDIA-Z9000"}, f"its label {PRODUCT} is NVIDIA-Z9000; add a row with products: [NV"),
        ({GPU: "8"}, {PRODUCT: "NVIDIA-L4-SHARED"}, f"its label {PRODUCT} is NVIDIA-L4-SHARED"),
        ({GPU: "8"}, {PRODUCT: "NVIDIA-L4-SHARED", GKE: "nvidia-l4"}, f"its label {PRODUCT} is NVIDIA-L4-SHARED"),
        ({GPU: "8"}, {GKE: "nvidia-l4", SHARING: "time-sharing"}, f"its label {SHARING} is time-sharing"),
        (
            {GPU: "7"},
            {GKE: "nvidia-tesla-a100", PARTITION: "1g.5gb"},
            f"is 1g.5gb; add a row with resource: {GPU}, label: {PARTITION} and products: [1g.5gb]",
        ),
        (
            {GPU: "1"},
            {GKE: "nvidia-tesla-v100", TYPE: "n1-standard-8"},
            f"is nvidia-tesla-v100; add a row with resource: {GPU}, label: {GKE} and products: [nvidia-tesla-v100]",
        ),
        (
            {"nvidia.com/mig-1g.6gb": "7"},
            {},
            "no row has this resource; add a row with resource: nvidia.com/mig-1g.6gb",
        ),
        ({"amd.com/gpu": "8"}, {}, "it has no label amd.com/gpu.product-name; add a row with resource: amd.com/gpu"),
    ],
)
def test_an_unknown_kind_is_told_with_what_to_do(
    allocatable: dict[str, str], labels: dict[str, str], said: str
) -> None:
    kind = builtin().of_node(node(allocatable, labels))
    assert isinstance(kind, UnknownAccelerator)
    assert str(kind).startswith(
        f"node n1 has {next(iter(allocatable))} of a kind that the hardware table does not know"
    )
    assert said in str(kind)


def test_of_several_kinds_the_largest_known_one_is_the_nodes() -> None:
    mixed = node(
        {GPU: "1", "nvidia.com/mig-9g.9gb": "1"},
        {PRODUCT: "NVIDIA-H200"},
    )
    assert builtin().of_node(mixed) == builtin().row("H200")
    assert builtin().of_node(node({})) is None


@pytest.mark.parametrize(("name", "row"), [("h100", "H100-80GB"), ("H100-80gb", "H100-80GB"), ("CPU", "cpu")])
def test_names_in_any_case(name: str, row: str) -> None:
    found = builtin().find(name)
    assert found is not None
    assert found.name == row


def test_a_row_that_must_be_there() -> None:
    with pytest.raises(LookupError, match="has no H9000; it has RTX-3060, T4"):
        builtin().row("H9000")


def test_stale_prices() -> None:
    def priced(name: str, day: date) -> Hardware:
        return Hardware(name=name, price=Price(on_demand=1.0, date=day))

    table = Table((priced("old", date(2025, 1, 1)), priced("older", date(2024, 2, 1)), priced("new", date(2026, 1, 1))))
    assert table.stale_prices(date(2025, 1, 1)) is None
    assert Table((priced("new", date(2025, 6, 1)),)).stale_prices(date(2026, 6, 1)) is None  # a year to the day
    warning = table.stale_prices(date(2026, 6, 2))
    assert warning is not None
    assert "(the oldest of 2024-02-01)" in warning
    assert "old, older;" in warning


def test_the_row_that_is_advised_makes_the_kind_known() -> None:
    sliced = node({GPU: "7"}, {GKE: "nvidia-tesla-a100", PARTITION: "1g.5gb"})
    measured = {"memoryGiB": 4.75, "bf16": True, "tflops": 40.4, "bandwidthGBs": 194}
    ours = Hardware.model_validate(
        {"name": "ours", "resource": GPU, "label": PARTITION, "products": ["1g.5gb"], **measured}
    )
    table = Table((*builtin(), ours))
    assert table.of_node(sliced) == ours
    assert table.of_node(node({GPU: "1"}, {GKE: "nvidia-l4"})) == builtin().row("L4")
