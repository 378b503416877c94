"""Full fine-tuning, LoRA and QLoRA: from apply to an adapter that loads elsewhere and beats the base model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e import claims
from e2e.demo.compare import compare
from e2e.kubectl import Kubectl, condition
from e2e.tests.conftest import Finished, Inputs
from e2e.tests.jobs import finetune_job, submit, succeeded

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("method", "changes", "kind"),
    [
        ("lora", None, "adapter"),
        ("qlora", {}, "adapter"),
        ("full", {"adapter": None}, "model"),
    ],
)
def test_a_job_trains_and_beats_its_base(
    kube: Kubectl,
    inputs: Inputs,
    plain: Finished,
    tmp_path: Path,
    method: str,
    changes: dict[str, object] | None,
    kind: str,
) -> None:
    name, job = "plain", plain.job
    if changes is not None:
        name = f"method-{method}"
        submit(kube, finetune_job(name, method=method, **changes))
        job = succeeded(kube, name)
    assert job["spec"]["method"] == method

    status = job["status"]
    assert condition(job, "Complete")["status"] == "True"
    assert condition(job, "Reconciling")["status"] == "False"
    [output] = status["outputs"]
    assert output["kind"] == kind
    assert output["uri"] == f"pvc://{name}-work/output"
    assert output["sizeBytes"] > 0
    assert status["progress"]["step"] == status["progress"]["maxSteps"]

    work = claims.take(kube, f"{name}-work", inputs.image, "metrics.jsonl", tmp_path)
    losses = [row["loss"] for row in map(json.loads, work.read_text().splitlines()) if "loss" in row]
    tenth = max(1, len(losses) // 10)
    assert sum(losses[-tenth:]) / tenth < 0.5 * sum(losses[:tenth]) / tenth

    result = claims.take(kube, f"{name}-work", inputs.image, "output", tmp_path)
    shown = compare(base=inputs.model, tuned=result, rows=inputs.test)
    assert shown.tuned.exact_match > 0.9 > 0.5 > shown.base.exact_match
    assert shown.tuned.label_likelihood > shown.base.label_likelihood
