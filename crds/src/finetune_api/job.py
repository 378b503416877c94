"""The FineTuneJob resource as a whole."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from finetune_api.schema import Schema
from finetune_api.spec import FineTuneJobSpec
from finetune_api.status import FineTuneJobStatus

# Children are called NAME-a12 and the like, and a Job's pod name adds more: all must fit in a DNS label of 63.
MAX_NAME_LENGTH = 50
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class Metadata(Schema):
    """The part of metav1.ObjectMeta that the project reads. The rest is the API server's affair."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, pattern=NAME_PATTERN)]
    namespace: str = "default"
    uid: str = ""
    generation: int = 1
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class FineTuneJob(Schema):
    """Fine-tunes a language model, and says what came of it."""

    api_version: Literal["finetune.dev/v1alpha1"] = "finetune.dev/v1alpha1"
    kind: Literal["FineTuneJob"] = "FineTuneJob"
    metadata: Metadata
    spec: FineTuneJobSpec
    """What to fine-tune, on what, how, and what becomes of the result."""
    status: FineTuneJobStatus | None = None
    """What has become of it; written by the operator alone."""

    @classmethod
    def from_object(cls, obj: dict[str, Any]) -> FineTuneJob:
        """Read an object as the API server gives it.

        Raises:
            pydantic.ValidationError: the spec is not one that this version knows (an older CRD let it in).
        """
        # Status is the operator's own and may come from another version of it: what it cannot read, it writes anew.
        return cls.model_validate({k: v for k, v in obj.items() if k in ("apiVersion", "kind", "metadata", "spec")})
