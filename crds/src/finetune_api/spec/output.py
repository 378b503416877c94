"""spec.output and spec.tracking: where results and curves go."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from finetune_api.schema import NO_SPACE, Name, Rule, Schema, SecretKey, SecretName, ShortText, exactly_one_of


class S3Destination(Schema):
    """A folder of an S3 bucket."""

    uri: Annotated[str, Field(max_length=1024, pattern=rf"^s3://{NO_SPACE}+$")]
    """s3://BUCKET/PREFIX."""
    secret_ref: SecretName | None = None
    """Secret with the credentials."""


class OCIDestination(Schema):
    """An artifact in an OCI registry."""

    reference: Annotated[str, Field(max_length=512, pattern=rf"^{NO_SPACE}+$")]
    """REGISTRY/REPOSITORY:TAG."""
    secret_ref: SecretName | None = None
    """Secret with the credentials."""


class HubDestination(Schema):
    """A repository of the Hugging Face Hub."""

    repository: Annotated[str, Field(max_length=256, pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")]
    """ORGANISATION/NAME."""
    token_secret_ref: SecretKey
    """Secret key holding a token that may write."""
    private: bool | None = None
    """Make the repository private; left out: true."""


class ClaimDestination(Schema):
    """A folder on a PersistentVolumeClaim of the job's namespace."""

    claim_name: Name
    """Name of the claim."""
    path: Annotated[
        str,
        Field(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$"),
    ]
    """Folder on the claim, which must be empty or not there yet."""


class Destination(Schema):
    """One place that the result is written to."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one_of("pvc", "s3", "oci", "hub"),)

    pvc: ClaimDestination | None = None
    """A claim."""
    s3: S3Destination | None = None
    """An S3 bucket."""
    oci: OCIDestination | None = None
    """An OCI registry."""
    hub: HubDestination | None = None
    """The Hugging Face Hub."""


class OutputSpec(Schema):
    """What is written, and where. The job's own volume always holds the result."""

    merge: bool | None = None
    """Also write the adapter merged into the base model."""
    destinations: Annotated[list[Destination], Field(max_length=8)] | None = None
    """Further places; the job succeeds only when all of them hold the verified result."""


class WandbTracking(Schema):
    """Weights & Biases."""

    project: ShortText
    """Project of the run."""
    entity: ShortText | None = None
    """Team or user."""
    token_secret_ref: SecretKey
    """Secret key holding the API key."""


class MLflowTracking(Schema):
    """MLflow."""

    uri: Annotated[str, Field(max_length=1024, pattern=rf"^https?://{NO_SPACE}+$")]
    """Tracking server."""
    experiment: ShortText | None = None
    """Experiment of the run."""
    token_secret_ref: SecretKey | None = None
    """Secret key holding the server's token."""


class TensorBoardTracking(Schema):
    """TensorBoard event files on the job's volume."""

    path: ShortText | None = None
    """Folder on the volume; left out: tensorboard."""


class TrackingSpec(Schema):
    """Experiment trackers."""

    wandb: WandbTracking | None = None
    """Weights & Biases."""
    mlflow: MLflowTracking | None = None
    """MLflow."""
    tensorboard: TensorBoardTracking | None = None
    """TensorBoard."""
