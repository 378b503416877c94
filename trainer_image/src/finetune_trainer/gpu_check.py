"""`python -m finetune_trainer.gpu_check`: prove on a machine with a GPU what only a GPU can run, and measure it.

It makes a model of about 100M parameters and rows that it can learn, runs the trainer on them as a pod would, once
per way that only exists on GPUs, and checks that each run ends well and that its loss has fallen; then it takes the
GPU's memory away and checks that the trainer says so with exit code 80. Where there are several GPUs, they share the
work too, and go on from what they saved. Last it measures runs whose memory can be predicted, and writes the figures
into --measured FILE. It ends with 1 if a check failed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_api.contract import CONFIG_ENV, EXIT_CODES, TERMINATION_LOG_ENV, Outcome
from finetune_trainer import gpu_memory

log = logging.getLogger("finetune_trainer.gpu_check")

_LEFT_BYTES = 1 << 30
"""What the trainer finds of the GPU's memory when it has to run out of it: its context and little more."""
_FALL = 0.5
"""By how much the loss has to fall, in nats."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run of the trainer."""

    name: str
    method: str = "lora"
    training: dict[str, Any] = field(default_factory=dict)
    processes: int = 1


CASES = (
    Case("lora"),
    Case("lora, not packed", training={"packing": False}),
    Case("lora, sdpa", training={"attention": "sdpa"}),
    Case("lora, no checkpointing", training={"gradientCheckpointing": False}),
    Case("lora, fp16", training={"precision": "fp16", "attention": "sdpa"}),
    Case("lora, neftune", training={"neftuneAlpha": 5.0}),
    Case("qlora", method="qlora"),
    Case("qlora, paged 8-bit", method="qlora", training={"optimizer": "pagedAdamw8bit"}),
    Case("full", method="full"),
    Case("full, 8-bit", method="full", training={"optimizer": "adamw8bit"}),
    Case("full, paged", method="full", training={"optimizer": "pagedAdamw"}),
    Case("full, fp32", method="full", training={"precision": "fp32", "attention": "sdpa"}),
)


def several(count: int) -> tuple[Case, ...]:
    """What only several GPUs can show."""
    if count < 2:
        return ()
    return tuple(
        Case(f"{method}, {sharding} on {count}", method, {"sharding": sharding}, processes=count)
        for sharding in ("ddp", "fsdp")
        for method in ("lora", "qlora", "full")
    )


def configuration(case: Case, *, model: Path, rows: Path, work: Path) -> dict[str, Any]:
    """The `TrainerConfig` of `case`, in its wire form."""
    training: dict[str, Any] = {
        "epochs": 2,
        "learningRate": 2e-4 if case.method == "full" else 2e-3,
        "effectiveBatchSize": 16,
        "microBatchSize": 4,
        "maxSequenceLength": 1024,
        "packing": True,
        "scheduler": "cosine",
        "warmupRatio": 0.05,
        "optimizer": "adamw",
        "weightDecay": 0.0,
        "maxGradNorm": 1.0,
        "seed": 42,
        "gradientCheckpointing": True,
    }
    return {
        "contractVersion": 1,
        "job": {"namespace": "default", "name": "gpu-check", "uid": "gpu-check", "attempt": 1},
        "workDir": str(work),
        "port": 0,
        "accelerator": "gpu",
        "processes": case.processes,
        "model": {"source": {"uri": f"file://{model}", "path": str(model)}, "trustRemoteCode": False},
        "method": case.method,
        "dataset": {
            "train": {"uri": f"file://{rows}", "path": str(rows)},
            "validationFraction": 0.1,
            "trainOn": "responses",
            "overlong": "truncate",
            "emptyResponses": "fail",
        },
        "adapter": {"rank": gpu_memory.RANK, "alpha": 32, "dropout": 0.05, "targetModules": ["all-linear"]},
        "training": training | case.training,
        "checkpoint": {"intervalSeconds": 600, "keep": 1},
        "output": {"uri": f"file://{work}/output"},
    }


SHAPE = {
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
}
"""Of the model that the cases train: about 91M parameters."""


def make_model(folder: Path, shape: dict[str, Any] | None = None, *, device: str = "cpu") -> None:
    """A Llama with random weights, of `shape` or of SHAPE, and a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = ["<pad>", "<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>"
    )
    fast.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<end>{% endfor %}" + (
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    given = {"vocab_size": len(alphabet)} | (shape or SHAPE)
    config = LlamaConfig(**given, pad_token_id=0, eos_token_id=1, bos_token_id=None)
    with torch.device(device):
        model = LlamaForCausalLM(config)
    model.to(torch.bfloat16)  # type: ignore[arg-type]
    model.save_pretrained(folder)


def make_rows(path: Path, count: int = 2000) -> None:
    """Questions whose answer repeats a word of theirs."""
    generator = random.Random(0)
    words = ["invoice", "parcel", "password", "refund", "crash", "address"]
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            word = generator.choice(words)
            filler = " ".join(generator.choices(["please", "help", "with", "my", "the", "today"], k=20))
            messages = [
                {"role": "user", "content": f"{filler} {word}"},
                {"role": "assistant", "content": f"this is about {word}"},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")


def run(case: Case, folder: Path, *, model: Path, rows: Path) -> tuple[int, str, Path]:
    """Exit code and log of the trainer, and its work directory."""
    work = folder / re.sub(r"[^a-z0-9]+", "-", case.name)
    work.mkdir(exist_ok=True)
    config = work / "config.json"
    config.write_text(json.dumps(configuration(case, model=model, rows=rows, work=work)), encoding="utf-8")
    environment = {**os.environ, CONFIG_ENV: str(config), TERMINATION_LOG_ENV: str(work / "termination-log")}
    done = subprocess.run(
        [sys.executable, "-m", "finetune_trainer"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, work


def judge(code: int, text: str, work: Path) -> tuple[bool, str]:
    """Whether the run was good, and a line of what was measured."""
    if code != 0:
        return False, f"exit code {code}\n{text[-3000:]}"
    curve = [json.loads(line) for line in (work / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [line["loss"] for line in curve if "loss" in line]
    progress = json.loads((work / "run" / "progress.json").read_text(encoding="utf-8"))["progress"]
    peak = re.search(r"peak GPU memory ([\d.]+) GiB", text)
    speed = progress.get("tokensPerSecond", 0)
    measured = f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, {speed:,.0f} tokens/s, peak {peak[1] if peak else '?'} GiB"
    return losses[-1] < losses[0] - _FALL, measured


def out_of_memory(folder: Path, *, model: Path, rows: Path) -> tuple[bool, str]:
    """With the GPU's memory taken by this process, the trainer must say so, and not something else."""
    import torch

    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(max(0, free - _LEFT_BYTES), dtype=torch.uint8, device="cuda")
    case = Case("out of memory", method="full", training={"packing": False, "microBatchSize": 16})
    code, text, work = run(case, folder, model=model, rows=rows)
    del taken
    torch.cuda.empty_cache()
    if code != EXIT_CODES[Outcome.OUT_OF_GPU_MEMORY]:
        return False, f"exit code {code}\n{text[-3000:]}"
    return True, json.loads((work / "termination-log").read_text(encoding="utf-8"))["message"]


def goes_on(case: Case, folder: Path, *, model: Path, rows: Path) -> tuple[bool, str]:
    """Started again, a run that is done reads its last checkpoint and exports the same."""
    digests = []
    for _ in range(2):
        code, text, work = run(case, folder, model=model, rows=rows)
        result = json.loads((work / "termination-log").read_text(encoding="utf-8"))
        if code != 0:
            return False, f"exit code {code}\n{text[-3000:]}"
        digests.append(result["outputs"][0]["digest"])
    good = digests[0] == digests[1] and result["resumedFromStep"] == result["step"]
    return good, f"resumed from step {result.get('resumedFromStep')}, exported {digests[1][:19]}"


def measure(folder: Path, *, gpus: int, into: Path | None) -> bool:
    """The memory of runs that can be predicted. One that doesn't fit says so and is passed over."""
    import torch

    model, lines, good = folder / "1b", [], True
    make_model(model, gpu_memory.SHAPE, device="cuda")
    torch.cuda.empty_cache()
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    for each in (*gpu_memory.RUNS, *gpu_memory.several(gpus)):
        rows = folder / f"{each.sequence_length}.jsonl"
        gpu_memory.make_rows(rows, length=each.sequence_length)
        case = Case(each.name, each.method, each.training(), each.processes)
        code, text, work = run(case, folder, model=model, rows=rows)
        shutil.rmtree(work)  # checkpoints of 12 GB
        line = each.line(text, config, gpu_memory.kernel_of(text))
        if code == EXIT_CODES[Outcome.OUT_OF_GPU_MEMORY]:
            log.info("%-64s does not fit", each.name)
        elif code != 0 or line is None:
            good = False
            log.info("%-64s FAIL  exit code %d\n%s", each.name, code, text[-3000:])
        else:
            lines.append(line)
            log.info("%-64s %.2f GiB", each.name, json.loads(line)["measuredBytes"] / (1 << 30))
    if into is not None:
        into.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return good


def main() -> int:
    """Run every case. Returns 1 if one failed, 2 without a GPU."""
    parser = argparse.ArgumentParser(prog="python -m finetune_trainer.gpu_check", description="Prove it on a GPU.")
    parser.add_argument("--measured", type=Path, metavar="FILE", help="write what was measured there, as JSON lines")
    into = parser.parse_args().measured
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    import torch

    if not torch.cuda.is_available():
        log.error("there is no GPU here: run this on a machine with one")
        return 2
    log.info("%s, torch %s", torch.cuda.get_device_name(), torch.__version__)
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, rows = folder / "model", folder / "rows.jsonl"
        make_model(model)
        make_rows(rows)
        gpus = torch.cuda.device_count()
        for case in (*CASES, *several(gpus)):
            good, line = judge(*run(case, folder, model=model, rows=rows))
            failed += not good
            log.info("%-24s %s  %s", case.name, "ok  " if good else "FAIL", line)
        good, line = out_of_memory(folder, model=model, rows=rows)
        failed += not good
        log.info("%-24s %s  %s", "out of memory", "ok  " if good else "FAIL", line)
        for case in several(gpus):
            good, line = goes_on(case, folder, model=model, rows=rows)
            failed += not good
            log.info("%-24s %s  %s", f"{case.name}, again", "ok  " if good else "FAIL", line)
        failed += not measure(folder, gpus=gpus, into=into)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
