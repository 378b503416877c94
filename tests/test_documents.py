"""What the documents say holds: commands are run by a test, links lead somewhere, jobs are jobs, reasons are real."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import generate
from finetune_api import manifest
from finetune_api.job import FineTuneJob
from finetune_api.spec import FineTuneJobSpec
from finetune_operator.children import restricted
from finetune_operator.cli import run as run_command
from finetune_operator.cli.main import main
from finetune_operator.reconcile.retry import FIRST_BACKOFF, LONGEST_BACKOFF, OUTCOMES
from finetune_operator.settings import Settings
from finetune_operator.sizing.hardware.read import parse as read_hardware
from finetune_operator.support import unsupported
from finetune_trainer import progress
from finetune_trainer.data.formats import FORMATS, choose
from finetune_trainer.data.row import Row
from tests import documents
from tests.documents import PAGES, TOP, Block, name_of

FENCED = [block for page in PAGES for block in documents.blocks(page)]

GUIDE, INSTALL = "e2e/tests/test_documents.py", "tests/charts/test_install.py"
LOCAL, EXPLAIN = "e2e/tests/test_local_run.py", "tests/finetune_api/test_crd_apiserver.py"
HARDWARE = "tests/finetune_operator/cli/test_hardware.py"
PLAN = "tests/finetune_operator/cli/test_plan.py"
OPERATOR, NODE = "tests/finetune_operator/test_operator.py", "e2e/cluster/test_node.py"
# A command (regular expression) -> the file that runs it, and words of that file that show it.
RUN_BY = {
    r"make (test|check)": (".ci/run", "make test"),
    r"make generate": ("tests/finetune_operator/cli/test_crds.py", "test_it_writes_what_it_checks"),
    r"make golden": ("tests/golden.py", "GOLDEN=rewrite"),
    r"pip install '\.\[trainer\]'": (LOCAL, '".[trainer]"'),
    r"python -m e2e\.demo\.make_model --output build/demo/model": (LOCAL, '"e2e.demo.make_model", "--output"'),
    r"python -m e2e\.demo\.make_data --output build/demo": (LOCAL, '"e2e.demo.make_data", "--output"'),
    r"finetune run -f examples/local\.yaml --work \S+": (LOCAL, '"finetune", "run", "-f", "examples/local.yaml"'),
    r"finetune run -f examples/quickstart\.yaml --work \S+ --mount quickstart-data=build/demo": (
        "tests/e2e_demo/test_learning.py",
        '"--mount", f"quickstart-data={demo}"',
    ),
    r"finetune hardware( -o yaml| --hardware ours\.yaml)?": (HARDWARE, 'main(["hardware", *options])'),
    r"finetune plan( -f examples/lora-llama-8b\.yaml .*)?": (PLAN, "test_what_the_readme_shows"),
    r"export FINETUNE_\w+=\S+": (OPERATOR, '"FINETUNE_HTTP_PORT": str'),
    r"finetune operator --kubeconfig \S+ --log-format text": (OPERATOR, '"--kubeconfig", str(apiserver.kubeconfig)'),
    r"helm upgrade --install finetune-operator charts/finetune-operator .*": (
        "e2e/tests/conftest.py",
        '"helm", "upgrade", "--install", "finetune-operator", "charts/finetune-operator"',
    ),
    r"helm install": (INSTALL, 'helm.run("install", "finetune-operator"'),
    r"helm upgrade": (INSTALL, 'helm.run("upgrade", "finetune-operator"'),
    r"helm uninstall( finetune-operator --namespace finetune-system)?": (INSTALL, 'helm.run("uninstall", "finetune-'),
    r"kubectl explain( ftj\.spec)?": (EXPLAIN, 'published.kubectl("explain", path)'),
    r"kubectl apply --server-side -f crds/finetunejobs\.yaml": (
        "tests/apiserver.py",
        'kubectl("apply", "--server-side", "-f", str(CRD))',
    ),
    r"kubectl apply -f examples/quickstart\.yaml": (EXPLAIN, '"apply", "--dry-run=server", "--validate=strict", "-f"'),
    r"kubectl (apply|get|describe|logs|wait|cp|delete|create|patch) .*(first|reader|hf|job\.yaml).*": (GUIDE, "GUIDE)"),
    r"kubectl get ftj( -w)?": (EXPLAIN, 'apiserver.kubectl("get", "ftj")'),
    r"sha256sum first-adapter/finetune-manifest\.json": (GUIDE, 'command.startswith("sha256sum")'),
    r"kubectl (-n finetune-system|get --raw) .*": (GUIDE, "commands(OPERATIONS)"),
    r"kubectl describe ftj NAME": (GUIDE, "GUIDE)"),
    r"kubectl delete pod": ("e2e/tests/test_interruption.py", 'kube("delete", "pod"'),
    r"python3 -m e2e\.images build --registry \S+": ("tests/e2e_images/test_main.py", '["build", "--registry"'),
    r"python3 -m e2e\.images build": ("e2e/tests/conftest.py", '"e2e.images", "build"'),
    r"python3 -m e2e\.cluster up": ("e2e/tests/conftest.py", '"e2e.cluster", "up"'),
    r"python3 -m e2e\.cluster gpus A100-80GB=4": (NODE, 'gpus.Gpus("A100-80GB", 4)'),
    r"python3 -m e2e\.cluster down": (NODE, "down."),
    r"python -m bench\.sizing": ("tests/bench/test_sizing.py", 'sizing.main(["--worst", "3"])'),
    r"python -m bench\.sizing --measured FILE": ("tests/bench/test_sizing.py", 'sizing.main(["--measured"'),
    r"python3 -m e2e\.cluster up --control-plane-only .*": ("tests/apiserver.py", "controlplane.start(folder"),
}
# What no test runs, and why.
BY_HAND = {
    r"make demo.*": "it would replace the operator that is under test; its steps are those of e2e/tests",
    r"make help": "it only prints",
    r"make lock": "what it resolves is different each day",
    r"pip install '\.\[operator\]'": "the tests' own environment has all extras; the image is built from this one",
    r'eval "\$\(python3 -m e2e\.cluster env\)"': "tests have the same from e2e.kubectl.environment",
    r"python3 -m e2e\.cluster (status|clean|build versitygw)": "for people; clean would remove what tests run on",
    r"kubectl (describe job NAME-a1|get nodes -L nvidia\.com/gpu\.product)": "Kubernetes' own",
    r"kubectl delete crd finetunejobs\.finetune\.dev": "it would delete the jobs of other tests",
}
# Names of commands and of what they do, within sentences.
NAMES = ("finetune run", "kubectl get")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_is_run_somewhere(page: Path) -> None:
    known = [*RUN_BY, *BY_HAND]
    unknown = [
        command
        for command in documents.commands(page)
        if command not in NAMES and not any(re.fullmatch(pattern, command) for pattern in known)
    ]
    assert unknown == [], "add a test that runs it, and a row to RUN_BY"


@pytest.mark.parametrize(("path", "words"), sorted(set(RUN_BY.values())))
def test_what_runs_them_is_there(path: str, words: str) -> None:
    assert words in " ".join((TOP / path).read_text().split())


@pytest.mark.parametrize("pattern", [*RUN_BY, *BY_HAND])
def test_no_row_is_left_over(pattern: str) -> None:
    assert any(re.fullmatch(pattern, command) for page in PAGES for command in documents.commands(page))


def test_make_has_what_is_named() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    named = {c.split()[1] for page in PAGES for c in documents.commands(page) if c.startswith("make ")}
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in documents.links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in documents.anchors(target), link


def _yaml() -> Iterator[Any]:
    for block in FENCED:
        if block.language == "yaml":
            yield pytest.param(block, id=f"{name_of(block.page)}:{block.line}")


@pytest.mark.parametrize("block", _yaml())
def test_yaml_is_what_it_looks_like(block: Block) -> None:
    content = yaml.safe_load(block.text)
    match content:
        case {"kind": "FineTuneJob"}:
            _must_work(manifest.parse(block.text, file=name_of(block.page)))
        case {"kind": "Pod"}:
            pass  # e2e/tests/test_documents.py starts it
        case {"settings": settings}:
            assert set(content) <= set(yaml.safe_load((TOP / "charts/finetune-operator/values.yaml").read_text()))
            Settings.model_validate(settings, by_alias=True, by_name=False)
        case {"hardware": rows}:
            read_hardware(yaml.safe_dump(rows), block.page, today=date.max)
        case _:
            shortest = {"model": {"source": "hf://o/n"}, "method": "lora", "dataset": {"train": {"source": "hf://o/d"}}}
            spec = FineTuneJobSpec.model_validate({**shortest, **content})
            _must_work(FineTuneJob.model_validate({"metadata": {"name": "part"}, "spec": spec}))


def _must_work(job: FineTuneJob) -> None:
    assert unsupported(job.spec.to_json(), labels=job.metadata.labels) == []


def test_rows_have_the_format_that_they_stand_for() -> None:
    shown = re.findall(r"^\| `(\w+)` \| `(\{.*\})` \|$", (TOP / "docs/getting-started.md").read_text(), re.MULTILINE)
    assert {name for name, _ in shown} == {each.name for each in FORMATS}
    for name, text in shown:
        assert choose(None, Row("train.jsonl", 1, 1, json.loads(text))).name == name


def test_tables_are_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def _troubles() -> set[str]:
    """Reasons in the tables of docs/operations.md, Troubleshooting."""
    text = (TOP / "docs/operations.md").read_text().partition("## Troubleshooting")[2]
    firsts = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return {reason for cell in firsts for reason in re.findall(r"`(\w+)`", cell)}


def test_reasons_are_those_of_the_code() -> None:
    source = "".join(path.read_text() for path in TOP.glob("operator/src/finetune_operator/reconcile/*.py"))
    said = set(re.findall(r'"([A-Z]\w+)"', source)) | {str(outcome) for outcome in OUTCOMES}
    assert _troubles() <= said


def test_every_reason_to_fail_or_to_wait_is_told() -> None:
    source = "".join(path.read_text() for path in TOP.glob("operator/src/finetune_operator/reconcile/*.py"))
    ends = set(re.findall(r'(?:\bfail|_fail|_refuse)\(draft, "(\w+)"', source))
    assert {"ModelUnknown", "NothingFits", "OutputConflict"} <= ends
    waits = set(re.findall(r'_wait\(draft, "(\w+)"', source))
    waits |= set(re.findall(r'conditions\.set\(\s*Type\.(?:ADMITTED|TRAINED),\s*False,\s*"(\w+)"', source))
    quiet = {"Creating", "Scheduling", "Starting", "Suspended"}  # steps of a normal start
    outcomes = {str(outcome) for outcome in OUTCOMES} - {"Succeeded"}
    assert (ends | outcomes | waits) - quiet <= _troubles()


def test_deadlines_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|.*\|$", (TOP / "docs/reliability.md").read_text(), re.MULTILINE)
    told = {what.partition(",")[0]: when for what, when in rows}
    silent = {stage.lower(): seconds / 60 for stage, seconds in progress._SILENCE.items()}
    liveness: dict[str, Any] = restricted.LIVENESS
    unanswered = liveness["periodSeconds"] * liveness["failureThreshold"] / 60
    assert told["loading"].startswith(f"{silent['loading'] / 60:.0f} hours")
    assert told["exporting"] == f"{silent['exporting'] / 60:.0f} hours"
    assert told["evaluating"] == f"{silent['evaluating']:.0f} minutes"
    least = f"at least {progress._STALL_LEAST / 60:.0f} minutes"
    assert told["training"] == (
        f"{progress._STALL_STEPS} median steps, {least}; {silent['training']:.0f} minutes in the first steps"
    )
    assert told["the trainer does not answer the kubelet"] == f"{unanswered:.0f} minutes"
    settings = Settings()
    assert told["on a node"].endswith(f" {settings.limits.start_deadline_seconds} s")
    assert told["asked to stop"].endswith(f" {settings.trainer.termination_grace_seconds} s")
    text = (TOP / "docs/reliability.md").read_text()
    first, longest = FIRST_BACKOFF.total_seconds(), LONGEST_BACKOFF.total_seconds() / 60
    assert f"are {first:.0f} seconds, then twice as" in text
    assert f"at most {longest:.0f} minutes" in text


def test_finetune_run_takes_what_local_runs_says() -> None:
    parser = argparse.ArgumentParser()
    run_command.add_arguments(parser)
    taken = set(re.findall(r"--[a-z]+", parser.format_help())) - {"--help"}
    section = (TOP / "docs/local-runs.md").read_text().partition("## What it takes")[2].partition("\nThe file may")[0]
    assert set(re.findall(r"--[a-z]+", section)) == taken


def test_what_is_advised_of_the_first_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/getting-started.md says that no rows are held out, and no more; no_robots has 9,500."""
    (first,) = (block for block in FENCED if "# job.yaml" in block.text)
    (tmp_path / "job.yaml").write_text(first.text)
    assert main(["plan", "-f", str(tmp_path / "job.yaml"), "--rows", "9500", "--tokens", "4000000"]) == 0
    advised = re.findall(r"\((\w+)\)$", capsys.readouterr().out.partition("advice:")[2], re.MULTILINE)
    assert advised == ["NoValidation"]


def test_no_page_speaks_of_how_it_was_written() -> None:
    others = re.compile(r"\b(agents?|sessions?|workplace|pypi\.org|issue #?\d+)\b|(?<!reader:)/work/|shared/", re.I)
    for page in PAGES:
        assert others.search(page.read_text()) is None, name_of(page)
