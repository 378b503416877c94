"""Before anything is made: is this a job that this version can do?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from finetune_api.job import FineTuneJob, Metadata
from finetune_api.spec import FineTuneJobSpec
from finetune_operator.children.source import SourceError, parse
from finetune_operator.reconcile.conclude import fail
from finetune_operator.reconcile.draft import Draft, Step
from finetune_operator.reconcile.sense import nonsense
from finetune_operator.support import unsupported


def validate(draft: Draft) -> Step:
    """Refuse, for good, what this version cannot do. A job that has begun was accepted, perhaps by another version."""
    if draft.begun:
        return Step.GO_ON
    sentences = unsupported(draft.job.spec.to_json(), labels=draft.job.metadata.labels)
    if sentences:
        fail(draft, "Unsupported", "; ".join(sentences))
        return Step.DONE
    sentences = [*_bad_sources(draft.job.spec), *nonsense(draft.job)]
    if sentences:
        fail(draft, "InvalidSpec", "; ".join(sentences))
        return Step.DONE
    return Step.GO_ON


def explain(error: ValidationError) -> str:
    """What is wrong with an object that the API server let in under an older schema: each field and its cause."""
    return "; ".join(f"{_field((*each['loc'], *_of_rule(each)))}: {each['msg']}" for each in error.errors())


def without_spec(obj: Mapping[str, Any]) -> FineTuneJob:
    """Enough of a job whose spec cannot be read to write a status for it."""
    found = obj["metadata"]
    metadata = Metadata.model_construct(
        name=str(found["name"]),
        namespace=str(found.get("namespace", "default")),
        uid=str(found.get("uid", "")),
        generation=int(found.get("generation", 1)),
        labels={},
        annotations={},
    )
    return cast(FineTuneJob, cast(Any, FineTuneJob).model_construct(metadata=metadata))


def _bad_sources(spec: FineTuneJobSpec) -> list[str]:
    validation = spec.dataset.validation
    sources = {
        "spec.model.source": spec.model.source,
        "spec.dataset.train.source": spec.dataset.train.source,
        "spec.dataset.validation.source": validation.source if validation is not None else None,
    }
    found = []
    for path, uri in sources.items():
        try:
            if uri is not None:
                parse(uri)
        except SourceError as error:
            found.append(f"{path}: {error}")
    return found


def _of_rule(error: ErrorDetails) -> tuple[str, ...]:
    """The field that a rule about several is about, where it names one."""
    field = error.get("ctx", {}).get("field")
    return (field,) if field else ()


def _field(location: tuple[str | int, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")
