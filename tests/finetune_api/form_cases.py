"""Job files that say the same in another form of YAML or JSON."""

from __future__ import annotations

import json

from tests.finetune_api.manifest_cases import Case, job

OBJECT = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "probe"},
    "spec": {
        "model": {"source": "hf://org/model"},
        "method": "lora",
        "dataset": {"train": {"source": "hf://org/data"}},
        "training": {"seed": 3.0},
    },
}
FLOW = (
    "{apiVersion: finetune.dev/v1alpha1, kind: FineTuneJob, metadata: {name: probe}, spec: {model: {source: hf://a/b},"
)

CASES = [
    Case("JSON", json.dumps(OBJECT)),
    Case("JSON indented by tabs", json.dumps(OBJECT, indent="\t")),
    Case("JSON with a mistake", json.dumps(OBJECT).replace('"lora"', "1"), "spec.method: must be full"),
    Case("a flow mapping", FLOW + " method: lora, dataset: {train: {source: hf://a/b}}}}"),
    Case("an anchor", job("retry: {maxAttempts: &n 3}\ncheckpoint: {keep: *n}")),
    Case("an anchor that is missing", job("retry: {maxAttempts: *n}"), "is not YAML: found undefined alias"),
    Case("a tab", job("\tretry: {}"), "is not YAML"),
    Case("comments and an empty document", "# the job\n---\n" + job() + "---\n# the end\n"),
]
