"""The CustomResourceDefinition of FineTuneJob, made from the models. `finetune crds` writes it to crds/."""

from __future__ import annotations

from typing import Any

import yaml

from finetune_api import API_VERSION, GROUP, KIND, PLURAL, VERSION
from finetune_api.job import MAX_NAME_LENGTH, FineTuneJob
from finetune_api.spec import MUTABLE
from finetune_api.structural import structural

HEADER = "# Generated from the models in crds/src/finetune_api by `make generate`; do not edit.\n"

# name, JSON path, type, description; the wide ones are shown by `-o wide` only. Everything is a string or a plain
# number: a date column would count the age of an ETA, and a loss would have sixteen digits.
COLUMNS = (
    ("Phase", ".status.phase", "string", "State in one word."),
    ("Method", ".spec.method", "string", "How it is fine-tuned."),
    ("Model", ".spec.model.source", "string", "The base model."),
    ("GPUs", ".status.sizing.gpus", "integer", "Accelerators in all; 0 on CPUs."),
    ("Progress", ".status.display.progress", "string", "Steps done."),
    ("ETA", ".status.display.eta", "string", "Expected time to the end of training."),
    ("Loss", ".status.display.loss", "string", "Training loss."),
    ("Cost", ".status.display.cost", "string", "Money spent, or expected before the start."),
    ("Age", ".metadata.creationTimestamp", "date", "Time since it was created."),
)
WIDE_COLUMNS = (
    ("Queue", r".metadata.labels.kueue\.x-k8s\.io/queue-name", "string", "Kueue's queue."),
    ("Attempt", ".status.attempts[-1:].number", "integer", "Number of the newest attempt."),
    ("Accelerator", ".status.sizing.accelerator", "string", "Kind of accelerator."),
)
SELECTABLE = (".spec.method", ".status.phase")

NAME_RULE = {
    "rule": f"self.metadata.name.size() <= {MAX_NAME_LENGTH} && !self.metadata.name.contains('.')",
    "message": f"the name must be a DNS label of at most {MAX_NAME_LENGTH} characters (a-z, 0-9 and -): "
    "the names of its Jobs and pods are made from it",
}
OBJECT_FIELDS = {
    "apiVersion": {
        "description": f"Version of this form of the object: {API_VERSION}.",
        "type": "string",
    },
    "kind": {"description": f"Kind of the object: {KIND}.", "type": "string"},
    "metadata": {"type": "object"},
}


def custom_resource_definition() -> dict[str, Any]:
    """The whole manifest, in apiextensions.k8s.io/v1."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{PLURAL}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "finetune-operator"},
            # Deleting the definition deletes every job with it: uninstalling the chart must not.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["ftj"],
                "categories": ["finetune"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "selectableFields": [{"jsonPath": path} for path in SELECTABLE],
                    "additionalPrinterColumns": [
                        *map(_column, COLUMNS),
                        *(_column(c) | {"priority": 1} for c in WIDE_COLUMNS),
                    ],
                    "schema": {"openAPIV3Schema": object_schema()},
                }
            ],
        },
    }


def object_schema() -> dict[str, Any]:
    """The structural schema of a FineTuneJob, with the rules of what may change."""
    models = FineTuneJob.model_json_schema()
    root = structural(models, models["$defs"])
    spec, status = root["properties"]["spec"], root["properties"]["status"]
    _fix_for_good(spec)
    # An object without a status reads as done to GitOps tools; one whose generation was not seen yet does not.
    status["default"] = {"observedGeneration": -1}
    status["properties"]["conditions"] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return {
        "description": root["description"],
        "type": "object",
        "required": ["spec"],
        "x-kubernetes-validations": [NAME_RULE],
        "properties": {**OBJECT_FIELDS, "spec": spec, "status": status},
    }


def to_yaml(crd: dict[str, Any]) -> str:
    """The file's text."""
    return HEADER + yaml.dump(crd, Dumper=_WithoutAliases, sort_keys=False, width=120, allow_unicode=True)


class _WithoutAliases(yaml.SafeDumper):
    """Writes a part that occurs twice twice: a reader of the file looks for words, not for anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _fix_for_good(spec: dict[str, Any]) -> None:
    """Make each field immutable but the mutable ones.

    A field's own rule runs only where it is set both before and after, so that adding and removing one is for its
    parent to refuse. Below that, whatever changes makes the field unequal.
    """
    rules = spec.setdefault("x-kubernetes-validations", [])
    for name, field in spec["properties"].items():
        if name in MUTABLE:
            continue
        field.setdefault("x-kubernetes-validations", []).append(
            {"rule": "self == oldSelf", "message": f"{name} cannot be changed once the job exists; create another job"}
        )
        if name not in spec["required"]:
            rules.append(
                {
                    "rule": f"has(self.{name}) == has(oldSelf.{name})",
                    "message": f"{name} cannot be added or removed once the job exists; create another job",
                    "fieldPath": f".{name}",
                }
            )


def _column(column: tuple[str, str, str, str]) -> dict[str, Any]:
    name, path, kind, description = column
    return {"name": name, "type": kind, "jsonPath": path, "description": description}
