"""The reader of job files; the same table is put to a real API server in test_manifest_apiserver.py."""

from __future__ import annotations

import pytest

from finetune_api import kubeyaml, manifest
from tests.finetune_api import form_cases, rule_cases, value_cases
from tests.finetune_api.manifest_cases import Case, job
from tests.finetune_api.scalar_cases import SCALARS


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[text for text, _ in SCALARS])
def test_scalars(text, value):
    (document,) = kubeyaml.documents(f"at:\n  {text}\n")
    found = document.value.get("at")
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("case", [*value_cases.CASES, *rule_cases.CASES, *form_cases.CASES], ids=lambda case: case.id)
def test_cases(case: Case):
    if case.error is None:
        assert manifest.parse(case.text, file="job.yaml").metadata.name
        return
    with pytest.raises(manifest.ManifestError) as refusal:
        manifest.parse(case.text, file="job.yaml")
    assert case.error in str(refusal.value)
    assert len(refusal.value.problems) == 1, str(refusal.value)


def test_values_arrive():
    text = job("training: {learningRate: 2e-4, seed: 3.0, epochs: 2}\nsuspend: off\nimage: 2001-01-01", method="qlora")
    spec = manifest.parse(text, file="job.yaml").spec
    assert (spec.method, spec.suspend, spec.image) == ("qlora", False, "2001-01-01")
    assert spec.training is not None
    assert (spec.training.learning_rate, spec.training.seed, spec.training.epochs) == (0.0002, 3, 2)


def test_every_problem_is_told_with_its_line():
    text = job("training:\n  learningRate: fast\n  epoch: 3\nadapter:\n  rank: 0", name="a.b", method="loar")
    with pytest.raises(manifest.ManifestError) as refusal:
        manifest.parse(text, file="job.yaml")
    assert [line.split(": ")[:2] for line in str(refusal.value).splitlines()] == [
        ["job.yaml line 3", "metadata.name"],
        ["job.yaml line 6", "spec.method"],
        ["job.yaml line 9", "spec.training.learningRate"],
        ["job.yaml line 10", "spec.training.epoch"],
        ["job.yaml line 12", "spec.adapter.rank"],
    ]


SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: hf}\nstringData: {token: x}\n"
LIST = "apiVersion: v1\nkind: List\nitems:\n- " + job(name="listed").replace("\n", "\n  ").rstrip() + "\n"


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        (SECRET + "---\n" + job(), None, "probe"),
        (job() + "---\n" + job(name="other"), "other", "other"),
        (LIST, None, "listed"),
        (job() + "status: {phase: nonsense}\n", None, "probe"),
    ],
    ids=["beside a Secret", "by name", "in a List", "with a status"],
)
def test_the_job_is_found(text, name, found):
    assert manifest.parse(text, file="job.yaml", name=name).metadata.name == found


@pytest.mark.parametrize(
    ("text", "name", "error"),
    [
        ("", None, "job.yaml: has no FineTuneJob: it is empty"),
        (SECRET, None, "job.yaml: has no FineTuneJob, only Secret"),
        ("- 1\n", None, "job.yaml: has no FineTuneJob, only something without a kind"),
        (
            job() + "---\n" + job(name="b"),
            None,
            "job.yaml: has 2 of kind FineTuneJob (probe, b); say which with --name",
        ),
        (job() + "---\n" + job(name="probe"), None, "job.yaml: has 2 of kind FineTuneJob called probe; remove one"),
        (job(), "other", "job.yaml: has no FineTuneJob called other; it has probe"),
        ("a: [", None, "job.yaml line 1: is not YAML: expected the node content, but found '<stream end>'"),
        ("a: &a [*a]", None, "job.yaml line 1: an anchor's value contains itself"),
        ("? [a]\n: b", None, "job.yaml line 1: a key must be a string"),
        ("<<: 3", None, "job.yaml line 1: << takes a mapping or a list of mappings"),
        ("a: !!int x", None, "job.yaml line 1: `x` is not of the type !!int"),
        ('{"a": 1, "a": 2}', None, 'job.yaml: key "a" is given twice; remove one'),
        ('{"a": NaN}', None, "job.yaml: NaN is not a number that JSON has"),
    ],
)
def test_no_job_is_found(text, name, error):
    with pytest.raises(manifest.ManifestError) as refusal:
        manifest.parse(text, file="job.yaml", name=name)
    assert str(refusal.value) == error


def test_files(tmp_path):
    path = tmp_path / "job.yaml"
    with pytest.raises(manifest.ManifestError, match="cannot be read: No such file"):
        manifest.read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(manifest.ManifestError, match="is not UTF-8"):
        manifest.read(path)
    path.write_text(job())
    assert manifest.read(path).metadata.name == "probe"
