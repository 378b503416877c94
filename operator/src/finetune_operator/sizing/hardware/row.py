"""One row of the hardware table: a kind of accelerator, and every figure that sizing has from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from finetune_api.schema import Schema, wire_name

PRODUCT_LABEL = "nvidia.com/gpu.product"
"""GPU feature discovery names the product of a node's GPUs in it."""
PARTITION_LABEL = "cloud.google.com/gke-gpu-partition-size"
"""GKE names the MIG profile in it of which all slices of a node's GPUs are."""
SHARING_LABELS = (PARTITION_LABEL, "cloud.google.com/gke-gpu-sharing-strategy")
"""Of GKE's nodes whose GPUs it has sliced, or shares in time: what its other label says of a whole one is not so."""
INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"
"""Every cloud writes it on every node, so a value that no row has says nothing of accelerators."""

# It becomes the value of a label of pods.
KindName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


MEASURED = ("memory_gib", "bf16", "tflops", "bandwidth_gbs")
"""Fields that a row with products must have."""


class Interconnect(Schema):
    """How the accelerators of one node exchange gradients and weights."""

    kind: Literal["nvlink", "xgmi", "pcie", "none"]
    """nvlink and xgmi: links between accelerators; pcie: through the host; none: there is never more than one."""
    gbs: Annotated[float, Field(ge=0, alias="GBs")] = 0.0
    """GB/s (10^9 bytes) that one accelerator sends while it receives as much; data sheets add both directions."""


class Price(Schema):
    """What one accelerator costs for an hour, with its share of the machine around it, in USD."""

    on_demand: NotNegative | None = None
    """Without a commitment; left out: not known."""
    spot: NotNegative | None = None
    """Where the cloud may take it back at any time; left out: not known."""
    date: date
    """Day of the figures. Over a year later they are warned of."""
    source: str = ""
    """Where they are from."""


class Hardware(Schema):
    """One kind of accelerator."""

    name: KindName
    """What users write, and what status shows."""
    aliases: tuple[KindName, ...] = ()
    """Other names for it."""
    resource: str | None = None
    """Extended resource that a pod asks for; left out: the CPU, which needs none."""
    label: str = PRODUCT_LABEL
    """Node label whose value tells that a node's accelerators are of this kind."""
    products: tuple[str, ...] = ()
    """Values of the label that do; none: any node that has the resource and does not have the label."""
    other_labels: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Other labels and the values of them that tell it too, each by itself, where a node does not have `label`."""
    memory_gib: Positive | None = None
    """Memory of one, in GiB (2^30 bytes), as the driver reports it; left out: not known."""
    bf16: bool = True
    """Its matrix units take bfloat16; where they don't, a GPU trains in fp16 and a CPU in fp32."""
    tflops: Positive | None = None
    """Peak of its matrix units, in 10^12 floating-point operations per second: dense, 16-bit inputs (bf16; fp16 where
    there is no bf16), sums in fp32; left out: not known."""
    bandwidth_gbs: Annotated[Positive | None, Field(alias="bandwidthGBs")] = None
    """Of its memory, in GB/s (10^9 bytes); left out: not known."""
    interconnect: Interconnect = Interconnect(kind="none")
    """Between those of one node."""
    per_node: Annotated[int, Field(ge=1)] = 1
    """Most of them in one node that is commonly sold."""
    price: Price | None = None
    """Left out: not known."""

    @property
    def device(self) -> Literal["gpu", "cpu"]:
        """What the trainer looks for."""
        return "cpu" if self.resource is None else "gpu"

    def tellings(self) -> Iterator[tuple[str, str]]:
        """Each label, and a value of it, that tells the kind."""
        for label, values in {self.label: self.products, **self.other_labels}.items():
            for value in values:
                yield label, value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        """What sizing works with must be there for every kind that a node can turn out to be."""
        missing = [name for name in MEASURED if getattr(self, name) is None or name not in self.model_fields_set]
        if self.products and missing:
            names = ", ".join(self.model_fields[name].alias or wire_name(name) for name in missing)
            raise PydanticCustomError("incomplete", "{names}: a row with products must say it", {"names": names})
        if self.other_labels and (not self.products or self.label in self.other_labels):
            raise PydanticCustomError("other_labels", "otherLabels: must be of labels beside that of products")
        return self
