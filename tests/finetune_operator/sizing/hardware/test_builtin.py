"""The table that comes with the operator: complete, sound, and in proportion."""

from __future__ import annotations

import re
from datetime import date

import pytest

from finetune_operator.sizing.hardware import Hardware, builtin

GPUS = [row for row in builtin() if row.products]
WHOLE = [row for row in GPUS if "-MIG-" not in row.name]
SLICES = [row for row in GPUS if "-MIG-" in row.name]

ASKED = (
    *("T4", "RTX-3060", "RTX-3090", "RTX-4090", "RTX-5090", "A5000", "A6000", "L4", "A10", "A10G", "A40", "L40S"),
    *("A100-40GB", "A100-40GB-PCIe", "A100-80GB", "A100-80GB-PCIe", "H100-PCIe", "H100", "H100-NVL", "H200", "B200"),
    *("A30", "L40", "RTX-6000-Ada", "RTX-PRO-6000", "H20", "B300", "A100-40GB-MIG-1g.5gb", "H200-MIG-1g.18gb"),
    *("H100-PCIe-MIG-2g.20gb", "H100-NVL-MIG-3g.47gb-single"),
    *("MI300X", "A100-80GB-MIG-3g.40gb", "H100-80GB-MIG-1g.10gb-single", "nvidia-gpu", "cpu"),
)


@pytest.mark.parametrize("name", ASKED)
def test_what_clusters_have_is_there(name: str) -> None:
    assert builtin().find(name) is not None


def test_it_is_sound() -> None:
    names = [name.casefold() for row in builtin() for name in (row.name, *row.aliases)]
    tellings = [(row.resource, label, value) for row in builtin() for label, value in row.tellings()]
    assert len(names) == len(set(names))
    assert len(tellings) == len(set(tellings))
    assert [builtin().find(row.name) for row in builtin()] == list(builtin())


@pytest.mark.parametrize("name", [row.name for row in builtin()])
def test_a_name_can_be_a_label(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", name)


def test_whole_gpus_are_in_the_order_of_their_memory() -> None:
    # the choice takes the first of equals, and people read the table so
    assert [row.memory_gib for row in WHOLE] == sorted(row.memory_gib or 0 for row in WHOLE)


# Sparse and half-precision-sum figures are two and four times the right one: the ratio of arithmetic to bandwidth, in
# FLOP per byte, would stand out. The RTX 3060 and the L40S are the ends of what there is, but for the H20: its
# arithmetic alone was cut to what may be exported.
@pytest.mark.parametrize("row", [row for row in WHOLE if row.name != "H20"], ids=lambda row: row.name)
def test_arithmetic_is_in_proportion(row: Hardware) -> None:
    assert row.tflops is not None
    assert row.bandwidth_gbs is not None
    assert 70 <= 1000 * row.tflops / row.bandwidth_gbs <= 425


@pytest.mark.parametrize("row", [row for row in GPUS if row.price is not None], ids=lambda row: row.name)
def test_prices_have_a_source_and_a_past_date(row: Hardware) -> None:
    assert row.price is not None
    assert row.price.source
    assert row.price.date < date(2026, 6, 1)
    assert row.price.on_demand is not None
    assert row.price.spot is None or 0.1 < row.price.spot / row.price.on_demand < 0.6


def test_only_the_t4_lacks_bf16() -> None:
    assert [row.name for row in GPUS if not row.bf16] == ["T4"]


# Multiprocessors of the whole GPU and of its slices: published output of `nvidia-smi mig -lgip`.
MULTIPROCESSORS = {
    "A100": {"all": 108, "1g": 14, "2g": 28, "3g": 42, "4g": 56},
    "H100-PCIe": {"all": 114, "1g": 14, "2g": 30, "3g": 46, "4g": 62},
    "H": {"all": 132, "1g": 16, "2g": 32, "3g": 60, "4g": 64},
}
EIGHTHS = {"1g": 1, "2g": 2, "3g": 4, "4g": 4}


@pytest.mark.parametrize("row", SLICES, ids=lambda row: row.name)
def test_a_slice_is_its_share_of_the_gpu(row: Hardware) -> None:
    base, profile, strategy = re.fullmatch(r"(.+)-MIG-(\dg)\.\d+gb(-single)?", row.name).groups()  # type: ignore[union-attr]
    whole = builtin().row(base)
    slower = min((each.bandwidth_gbs or 0) for each in WHOLE if each.name.startswith(base))
    units = next(units for name, units in MULTIPROCESSORS.items() if base.startswith(name))
    share = max(int(profile[0]) / 7, EIGHTHS[profile] / 8)
    assert row.tflops == pytest.approx((whole.tflops or 0) * units[profile] / units["all"], rel=2e-3)
    assert row.bandwidth_gbs == pytest.approx(slower * EIGHTHS[profile] / 8, rel=2e-3)
    assert 0.9 < (row.memory_gib or 0) / ((whole.memory_gib or 0) * EIGHTHS[profile] / 8) < 1
    assert row.price is not None
    assert whole.price is not None
    assert row.price.on_demand == pytest.approx((whole.price.on_demand or 0) * share, abs=0.01)
    assert row.price.date == whole.price.date
    assert (row.interconnect.kind, row.per_node) == ("none", 1)
    if strategy is None:
        assert row.resource == f"nvidia.com/mig-{row.name.partition('-MIG-')[2]}"
        assert row.label == f"{row.resource}.product"
    else:
        assert (row.resource, row.label) == ("nvidia.com/gpu", "nvidia.com/gpu.product")
