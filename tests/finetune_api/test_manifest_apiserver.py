"""The tables of test_manifest.py, put to kubectl and a real API server: both readings of a job file agree."""

from __future__ import annotations

import json

import pytest

from tests.apiserver import ApiServer, said
from tests.finetune_api import form_cases, rule_cases, value_cases
from tests.finetune_api.manifest_cases import Case
from tests.finetune_api.scalar_cases import SCALARS

pytestmark = pytest.mark.apiserver


@pytest.mark.parametrize("case", [*value_cases.CASES, *rule_cases.CASES, *form_cases.CASES], ids=lambda case: case.id)
def test_cases(apiserver: ApiServer, case: Case):
    done = apiserver.kubectl.run("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=case.text)
    accepted = case.error is None or case.reader_only
    assert (done.returncode == 0) == accepted, said(done)


def test_scalars(apiserver: ApiServer):
    # kubectl's own conversion, with no server and no schema behind it
    text = "apiVersion: finetune.dev/v1alpha1\nkind: FineTuneJob\nmetadata: {name: scalars}\nspec:\n"
    text += "".join(f"  s{number}:\n    {scalar}\n" for number, (scalar, _) in enumerate(SCALARS))
    printed = apiserver.kubectl("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-", stdin=text)
    spec = json.loads(printed)["spec"]
    # nulls are dropped by the server only
    found = {scalar: _without_nulls(spec[f"s{number}"]) for number, (scalar, _) in enumerate(SCALARS)}
    assert found == dict(SCALARS)


def _without_nulls(value):
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value
