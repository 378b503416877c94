"""`finetune plan` as a stranger uses it: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.status import Sizing
from finetune_operator.cli.main import main
from tests.finetune_operator.reconcile.cluster import Cluster
from tests.finetune_operator.reconcile.objects import INSPECTION, new_job

TOP = Path(__file__).parents[3]
LLAMA_8B = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
}
DATA = ["--rows", "10000", "--tokens", "5000000"]


def job(folder: Path, **spec: Any) -> Path:
    whole = {
        "model": {"source": "hf://meta-llama/Llama-3.1-8B-Instruct"},
        "method": "qlora",
        "dataset": {"train": {"source": "hf://team/invoices"}},
        **spec,
    }
    manifest = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "invoices"},
        "spec": whole,
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(manifest))
    return path


def nodes(folder: Path, *kinds: tuple[str, int], taken: int = 0) -> Path:
    """Nodes with so many GPUs of each product; `taken` of the first one's are requested by a pod."""
    items: list[dict[str, Any]] = [
        {
            "kind": "Node",
            "metadata": {"name": f"node-{index}", "labels": {"nvidia.com/gpu.product": product}},
            "status": {"allocatable": {"nvidia.com/gpu": str(count), "cpu": "64", "memory": "512Gi"}},
        }
        for index, (product, count) in enumerate(kinds)
    ]
    if taken:
        limits = {"nvidia.com/gpu": str(taken)}
        spec = {"nodeName": "node-0", "containers": [{"resources": {"limits": limits}}]}
        items.append({"kind": "Pod", "metadata": {"name": "other"}, "spec": spec, "status": {"phase": "Running"}})
    path = folder / "nodes.yaml"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}))
    return path


def plan(capsys: pytest.CaptureFixture[str], path: Path, *args: str) -> tuple[int, str, str]:
    code = main(["plan", "-f", str(path), *args])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_page_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = nodes(tmp_path, ("NVIDIA-L4", 2), ("NVIDIA-H200", 8))
    code, out, err = plan(capsys, job(tmp_path), "--nodes", str(there), *DATA)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == (
        "invoices: qlora of hf://meta-llama/Llama-3.1-8B-Instruct (8.0B parameters, from the catalogue)"
    )
    for words in ("weights", "activations", "expected", "with margin", "time", "cost", "an hour for each", "advice:"):
        assert words in out
    assert "not chosen" in out


def test_what_the_readme_shows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TOP)
    readme = (TOP / "README.md").read_text()
    command = next(line for line in readme.splitlines() if line.startswith("finetune plan "))
    shown = readme.partition(command)[2].split("```")[2].removeprefix("text").strip()
    assert main(command.split()[1:]) == 0
    assert capsys.readouterr().out.startswith(shown), "run the command and show what it prints now"


@pytest.mark.parametrize("columns", [20, 80, 300])
def test_the_page_is_broken_where_the_terminal_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = plan(capsys, job(tmp_path, method="full"), *DATA)
    sentences = out[out.index("advice:") :]
    # narrower than 60, words fall apart; wider than 100, nobody finds the next line
    assert 50 < max(map(len, sentences.splitlines())) <= min(max(columns, 60), 100)
    assert "advice: no rows are held out, so nothing will tell learning from learning by heart" in " ".join(out.split())


def test_figures_stand_below_their_heads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slices = ("NVIDIA-A100-SXM4-80GB-MIG-3g.40gb", 2), ("NVIDIA-L4", 1), ("NVIDIA-A100-SXM4-80GB", 1)
    _, out, _ = plan(capsys, job(tmp_path), "--nodes", str(nodes(tmp_path, *slices)), *DATA)
    lines = out.splitlines()
    end = next(line for line in lines if line.startswith("  memory of each")).index("GiB") + 3
    weights = next(line for line in lines if line.startswith("  weights"))
    assert len(weights) == end
    first = lines.index("  not chosen") + 1
    starts = {found.start() for line in lines[first : first + 2] for found in re.finditer(r"\b[\d.]+ GiB,", line)}
    assert len(starts) == 1


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_for_programs_it_is_what_status_would_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    code, out, _ = plan(capsys, job(tmp_path), "-o", output, *DATA)
    sizing = Sizing.model_validate(json.loads(out) if output == "json" else yaml.safe_load(out))
    assert code == 0
    memory = sizing.memory
    assert memory is not None
    assert memory.terms is not None
    assert memory.total_gib == pytest.approx(sum(memory.terms.to_json().values()), abs=0.01)
    assert memory.required_gib == pytest.approx((memory.total_gib or 0) / 0.92, abs=0.01)
    assert sizing.tokens == 5_000_000
    assert sizing.estimated_cost_usd == pytest.approx(
        (sizing.estimated_seconds or 0) / 3600 * (sizing.price_usd_per_hour or 0) * sizing.count, rel=0.01
    )
    assert sizing.alternatives


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("kinds", [(("NVIDIA-L4", 2),), (("NVIDIA-A100-SXM4-80GB", 8), ("Tesla-T4", 4))])
def test_it_is_what_the_operator_writes_into_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str, kinds: tuple[tuple[str, int], ...]
) -> None:
    """The same job on the same nodes, once by the operator and once by hand."""
    path, there = job(tmp_path, method=method), nodes(tmp_path, *kinds)
    read = {"model": json.dumps(LLAMA_8B), "rows": 10_000, "tokens": 5_000_000}
    given = new_job() | {"status": {"inspection": {**INSPECTION, **read}}}
    given["spec"] = yaml.safe_load(path.read_text())["spec"]
    cluster = Cluster(given, nodes=tuple(yaml.safe_load(there.read_text())["items"]))
    cluster.reconcile()
    assert cluster.job is not None
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    options = ["--nodes", str(there), "--model-config", str(tmp_path), *DATA]
    code, out, _ = plan(capsys, path, *options, "-o", "json")
    sizing = cluster.job["status"].get("sizing")
    assert (code, json.loads(out) if out else None) == (0 if sizing else 3, sizing)


def test_without_data_neither_time_nor_cost_is_made_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = plan(capsys, job(tmp_path), "-o", "json")
    assert not {"estimatedSeconds", "estimatedCostUSD", "tokens"} & set(json.loads(out))
    _, text, _ = plan(capsys, job(tmp_path))
    assert "not known: say how much data there is" in text


@pytest.mark.parametrize(
    ("product", "resources", "says"),
    [
        ("", {}, ["no speed of nvidia-gpu", "no price of nvidia-gpu", "label its nodes nvidia.com/gpu.product"]),
        ("NVIDIA-A40", {"spot": True}, ["has no spot price of A40"]),
    ],
)
def test_what_the_table_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], product: str, resources: dict[str, Any], says: list[str]
) -> None:
    path, there = job(tmp_path, resources=resources), nodes(tmp_path, (product, 1))
    code, text, _ = plan(capsys, path, "--nodes", str(there), *DATA)
    assert code == 0
    for words in says:
        assert words in text


def test_what_does_not_fit_is_told_with_numbers_and_what_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = nodes(tmp_path, ("NVIDIA-L4", 1))
    code, out, err = plan(capsys, job(tmp_path, method="full"), "--nodes", str(there))
    assert (code, out) == (3, "")
    for words in ("full fine-tuning of 8.0B parameters needs", "weights", "optimizer", "L4", "Fits: qlora on 1x L4"):
        assert words in err


def test_what_is_free_is_taken_before_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = (("NVIDIA-H200", 8), ("NVIDIA-L4", 2))
    chosen = []
    for taken in (0, 8):
        there = nodes(tmp_path, *kinds, taken=taken)
        _, out, _ = plan(capsys, job(tmp_path), "-o", "json", *DATA, "--nodes", str(there))
        chosen.append(json.loads(out)["accelerator"])
    assert chosen == ["H200", "L4"]


def test_a_queue_gives_no_more_than_its_quota(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = nodes(tmp_path, ("NVIDIA-A100-SXM4-80GB", 8))
    gpus = {"name": "nvidia.com/gpu", "nominalQuota": 1}
    group = {"coveredResources": ["nvidia.com/gpu"], "flavors": [{"name": "gpus", "resources": [gpus]}]}
    queues = [
        {"kind": "LocalQueue", "metadata": {"name": "team-a"}, "spec": {"clusterQueue": "shared"}},
        {"kind": "ClusterQueue", "metadata": {"name": "shared"}, "spec": {"resourceGroups": [group]}},
        {"kind": "ResourceFlavor", "metadata": {"name": "gpus"}, "spec": {}},
    ]
    path.write_text(path.read_text() + "".join(f"---\n{yaml.safe_dump(each)}" for each in queues))
    given = yaml.safe_load(job(tmp_path, method="full").read_text())
    free, _, _ = plan(capsys, job(tmp_path, method="full"), "--nodes", str(path))
    given["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "team-a"}
    (tmp_path / "queued.yaml").write_text(yaml.safe_dump(given))
    held, _, err = plan(capsys, tmp_path / "queued.yaml", "--nodes", str(path))
    assert (free, held) == (0, 3), "two share the model, and the queue has one"
    assert "full fine-tuning of 8.0B parameters needs" in err


def test_a_model_beside_the_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(LLAMA_8B))
    (tmp_path / "train.jsonl").write_text('{"prompt": "Hello", "completion": "Good day to you"}\n' * 2000)
    path = job(
        tmp_path,
        model={"source": "file://model"},
        dataset={"train": {"source": "file://train.jsonl"}, "validation": {"fraction": 0.1}},
    )
    there = ["--nodes", str(nodes(tmp_path, ("NVIDIA-L4", 1))), "-o", "json"]
    code, out, _ = plan(capsys, path, *there)
    sizing = json.loads(out)
    assert code == 0
    assert sizing["parameters"] == 8_030_261_248
    assert sizing["tokensEstimated"] is True
    given = job(tmp_path)
    _, same, _ = plan(capsys, given, *there, "--model-config", str(tmp_path / "model"))
    assert json.loads(same)["memory"] == sizing["memory"]


def test_another_engine_can_be_assumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = nodes(tmp_path, ("NVIDIA-H200", 1))
    needs = []
    for assumed in ("", "lossKernel=eager", "lossKernel=eager,adapterPrecision=bf16"):
        _, out, _ = plan(capsys, job(tmp_path), "-o", "json", "--nodes", str(there), "--assume", assumed)
        needs.append(json.loads(out)["memory"]["totalGiB"])
    assert needs[1] > needs[0], "logits are held whole"
    assert needs[2] < needs[1], "and adapters in half the bytes"


@pytest.mark.parametrize(
    ("spec", "args", "says"),
    [
        ({}, ["--assume", "lossKernal=eager"], ["lossKernal", "did you mean lossKernel?"]),
        ({}, ["--assume", "lossKernel"], ["NAME=VALUE"]),
        ({}, ["--assume", "lossKernel=magic"], ["lossKernel", "'eager'"]),
        ({}, ["--nodes", "none.yaml"], ["none.yaml", "cannot be read"]),
        ({}, ["--hardware", "none.yaml"], ["none.yaml"]),
        ({}, ["--model-config", "nowhere"], ["nowhere"]),
        (
            {"model": {"source": "hf://nobody/knows-this"}},
            [],
            ["hf://nobody/knows-this", "spec.model.architecture", "--model-config"],
        ),
        ({"method": "lorra"}, [], ["spec.method", "did you mean"]),
        (
            {"adapter": {"targetModules": ["q_porj"]}},
            [],
            ['spec.adapter.targetModules: "q_porj" is not a module of llama'],
        ),
        ({"model": {"source": "file://nowhere"}}, [], ["spec.model.source: ", "nowhere: there is no such file"]),
    ],
)
def test_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spec: dict[str, Any], args: list[str], says: list[str]
) -> None:
    code, out, err = plan(capsys, job(tmp_path, **spec), *args)
    assert (code, out) == (78, "")
    for words in says:
        assert words in err


def test_it_starts_without_what_is_slow_to_import(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from finetune_operator.cli.main import main\n"
        f"assert main(['plan', '-f', {str(job(tmp_path))!r}]) == 0\n"
        "slow = {'torch', 'transformers', 'kubernetes', 'kopf', 'aiohttp', 'numpy', 'rich'} & set(sys.modules)\n"
        "slow |= {'finetune_operator.reconcile'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
