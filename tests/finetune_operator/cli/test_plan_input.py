"""`finetune plan` given what strangers give it: one sentence that names the place, and the right exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api import manifest
from finetune_operator.cli.main import main
from tests.finetune_operator.cli.test_plan import LLAMA_8B, job, plan

Object = dict[str, Any]


def gpu_node(**changes: Any) -> Object:
    return {
        "kind": "Node",
        "metadata": {"name": "a", "labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}},
        "status": {"allocatable": {"nvidia.com/gpu": "8", "cpu": "64", "memory": "512Gi"}},
        **changes,
    }


def pod(**spec: Any) -> Object:
    return {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeName": "a", "containers": [], **spec}}


def written(folder: Path, *items: Any, name: str = "nodes.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": list(items)}))
    return path


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has no FineTuneJob: it is empty"),
        (b"kind: Pod\n", "has no FineTuneJob, only Pod"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"a: [1\n", "line 2: "),
    ],
)
@pytest.mark.parametrize("where", ["a file", "stdin"])
def test_a_file_that_is_no_job(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    says: str,
    where: str,
) -> None:
    path = Path("-") if where == "stdin" else tmp_path / "job.yaml"
    stdin(monkeypatch, content)
    if where == "a file":
        path.write_bytes(content)
    code, out, err = plan(capsys, path)
    assert (code, out) == (78, "")
    assert err.startswith(f"error: {path}")
    assert says in err


@pytest.mark.parametrize(
    "form", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n"), lambda text: text]
)
def test_the_job_from_stdin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: Callable[[str], str]
) -> None:
    path = job(tmp_path)
    expected = plan(capsys, path)
    stdin(monkeypatch, form(path.read_text()).encode())
    assert plan(capsys, Path("-")) == expected


def test_nodes_in_every_form_that_kubectl_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, gpu_node())
    expected = plan(capsys, job(tmp_path), "--nodes", str(path))
    assert expected[0] == 0
    assert "L4" in expected[1]
    given = yaml.safe_load(path.read_text())
    bare = {key: value for key, value in gpu_node().items() if key != "kind"}
    for text in (
        json.dumps(given),
        yaml.safe_dump(gpu_node()),
        f"---\n---\n{yaml.safe_dump(gpu_node())}",
        # of `kubectl get --raw /api/v1/nodes`: items don't say what they are
        json.dumps({"kind": "NodeList", "items": [bare]}),
        "\ufeff" + json.dumps(given),
        yaml.safe_dump(gpu_node(spec=None)),
    ):
        path.write_text(text)
        assert plan(capsys, job(tmp_path), "--nodes", str(path)) == expected, text
        stdin(monkeypatch, text.encode())
        assert plan(capsys, job(tmp_path), "--nodes", "-") == expected, text


def test_one_stdin_is_not_two_files(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = plan(capsys, Path("-"), "--nodes", "-")
    assert (code, out) == (78, "")
    assert "can't both be stdin" in err


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (
            gpu_node(status={"allocatable": {"nvidia.com/gpu": "eight"}}),
            "Node a: status.allocatable.nvidia.com/gpu: eight",
        ),
        (gpu_node(status={"allocatable": {"nvidia.com/gpu": "-3"}}), "Node a: status.allocatable.nvidia.com/gpu: -3"),
        (gpu_node(status={"allocatable": {"memory": "512 gigs"}}), "512 gigs is no quantity; write 500m, 8, 64Gi"),
        (gpu_node(status={"allocatable": [1]}), "Node a: status.allocatable: must be a mapping"),
        (gpu_node(status="ready"), "Node a: status: must be a mapping"),
        (gpu_node(status={"conditions": [{"type": "Ready"}]}), "Node a: status.conditions[0].status: is missing"),
        (gpu_node(spec={"taints": "x"}), "Node a: spec.taints: must be a list"),
        (gpu_node(spec={"taints": [{"key": "x"}]}), "Node a: spec.taints[0].effect: is missing"),
        (
            gpu_node(metadata={"name": "a", "labels": {"x": 8}}),
            "Node a: metadata.labels.x: must be a string; put it in",
        ),
        (gpu_node(metadata={"labels": {}}), "Node without a name: metadata.name: is missing"),
        (gpu_node(metadata="a"), "holds something that is no object of Kubernetes"),
        (pod(containers=None), "Pod p: spec.containers: is missing"),
        (
            pod(containers=[{"resources": {"limits": {"nvidia.com/gpu": "x"}}}]),
            "Pod p: spec.containers[0].resources.limits.nvidia.com/gpu: x is no quantity",
        ),
        ({"kind": "LocalQueue", "metadata": {"name": "q"}, "spec": {}}, "LocalQueue q: spec.clusterQueue: is missing"),
        (
            {"kind": "ClusterQueue", "metadata": {"name": "q"}, "spec": {"resourceGroups": [{"flavors": []}]}},
            "ClusterQueue q: spec.resourceGroups[0].coveredResources: is missing",
        ),
    ],
)
def test_objects_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], item: Object, says: str) -> None:
    path = written(tmp_path, gpu_node(), item)
    code, out, err = plan(capsys, job(tmp_path), "--nodes", str(path), "-o", "json")
    assert (code, out) == (78, "")
    assert err.startswith(f"error: {path}: ")
    assert says in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no Node; write it with kubectl get nodes -o yaml"),
        ("kind: NodeList\nitems: {a: 1}\n", "document 1: items must be a list"),
        ("- 1\n", "document 1 is no object but list"),
        ('{"kind": ', "is not YAML or JSON"),
        ("a: [1\n", "is not YAML or JSON"),
    ],
)
def test_files_without_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(text)
    code, out, err = plan(capsys, job(tmp_path), "--nodes", str(path))
    assert (code, out) == (78, "")
    assert f"{path}: {says}" in err


@pytest.mark.parametrize("stored", ["gptq", "fp8", "awq", "mxfp4"])
def test_a_model_that_is_stored_quantised(tmp_path: Path, capsys: pytest.CaptureFixture[str], stored: str) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**LLAMA_8B, "quantization_config": {"quant_method": stored}}))
    code, out, err = plan(capsys, job(tmp_path), "--model-config", str(config))
    assert (code, out) == (78, "")
    assert f"is stored quantised ({stored}), and qlora needs the full weights; name the unquantised model" in err


def test_a_configuration_of_another_model_is_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**LLAMA_8B, "num_hidden_layers": 8}))
    code, out, err = plan(capsys, job(tmp_path), "--model-config", str(config), "-o", "json")
    assert code == 0
    assert json.loads(out)["parameters"] == 2_795_573_248
    assert err == (
        f"warning: {config}: has 2.8B parameters, and hf://meta-llama/Llama-3.1-8B-Instruct has 8.0B; "
        "the plan is for the former\n"
    )


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"method": "lora"}, ""),
        ({"method": "ia3"}, "warning: this version would not run the job: spec.method: "),
        ({"objective": "dpo"}, "warning: this version would not run the job: spec.objective: "),
        (
            {"dataset": {"train": {"source": "s3://rows"}}},
            "spec.dataset.train.source: s3:// is not read by this version",
        ),
    ],
)
def test_what_is_planned_and_not_run_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spec: Object, says: str
) -> None:
    code, out, err = plan(capsys, job(tmp_path, **spec), "-o", "json")
    assert code == 0
    assert json.loads(out)["accelerator"]
    assert says in err
    assert bool(says) == bool(err)


def test_a_job_for_this_machine_is_planned_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "Hello"}\n' * 100)
    code, _, err = plan(capsys, job(tmp_path, dataset={"train": {"source": "file://train.jsonl"}}))
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tokens", "a lot"], "argument --tokens: a lot: must be a whole number, such as 5000000"),
        (["--tokens", "1e6"], "argument --tokens: 1e6: must be a whole number"),
        (["--tokens", "-1"], "argument --tokens: -1: must be 1 or more"),
        (["--rows", "0"], "argument --rows: 0: must be 1 or more"),
        (["-o", "xml"], "argument -o/--output: invalid choice: 'xml'"),
        (["--nodes", "a", "--kubeconfig", "b"], "not allowed with argument --nodes"),
    ],
)
def test_a_command_line_that_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", "-f", str(job(tmp_path)), *options])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert says in said.err


def test_an_accelerator_that_nobody_sells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = plan(capsys, job(tmp_path, resources={"accelerator": "A100-41GB"}))
    assert (code, out) == (78, "")
    assert err.startswith('error: spec.resources.accelerator: there is no kind "A100-41GB"; there are A100-40GB, ')


def test_a_file_of_nodes_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nodes.yaml"
    expected = (78, "", f"error: {path}: cannot be read: No such file or directory\n")
    assert plan(capsys, job(tmp_path), "--nodes", str(path)) == expected


def test_rows_and_tokens_that_were_swapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = plan(capsys, job(tmp_path), "--rows", "5000000", "--tokens", "10000")
    assert code == 78
    assert "--tokens 10000 is less than one for each of --rows 5000000" in err


def test_data_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = job(tmp_path, dataset={"train": {"source": "file://train.jsonl"}})
    code, out, err = plan(capsys, path)
    assert (code, out) == (78, "")
    assert f"spec.dataset.train.source: {tmp_path / 'train.jsonl'} cannot be read: No such file or directory" in err
    assert plan(capsys, path, "--rows", "10000")[0] == 0


def test_whoever_reads_may_stop_reading(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        command = [sys.executable, "-m", "finetune_operator.cli.main", "plan", "-f", str(job(tmp_path))]
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (141, "")


def test_ctrl_c_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest, "read", interrupted)
    assert main(["plan", "-f", str(job(tmp_path))]) == 130


def test_a_terminal_that_has_no_bars(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "finetune_operator.cli.main", "plan", "-f", str(job(tmp_path))]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "###" in done.stdout
