"""`python -m finetune_trainer.gpu_check`: prove on a machine with a GPU what only a GPU can run, and measure it.

It makes a model of about 100M parameters and rows that it can learn, runs the trainer on them as a pod would, once
per way that only exists on GPUs, and checks that each run ends well and that its loss has fallen; then it stops some by
SIGTERM and has them go on, and takes a GPU's memory away and checks that the trainer says so with exit code 80. Where
there are several GPUs, all of it is done by them together too. Last it measures runs whose memory can be predicted, and
writes the figures into --measured FILE. It ends with 1 if a check failed.
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
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune_api.contract import CONFIG_ENV, EXIT_CODES, TERMINATION_LOG_ENV, Outcome
from finetune_trainer import gpu_memory
from finetune_trainer.gpu_cases import CASES, Case, configuration, several, stopped

log = logging.getLogger("finetune_trainer.gpu_check")

_LEFT_BYTES = 1 << 30
"""What the trainer finds of the GPU's memory when it has to run out of it: its context and little more."""
_FALL = 0.5
"""By how much the loss has to fall, in nats."""
_STOP_AFTER = 3
"""Steps, in runs that are stopped."""
_POLL_SECONDS = 0.05
_TRAINER = (sys.executable, "-m", "finetune_trainer")


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


def run(case: Case, folder: Path, *, model: Path, rows: Path, stop: bool = False) -> tuple[int, str, Path]:
    """Exit code and log of the trainer, and its work directory. `stop`: by SIGTERM after a few steps."""
    work = folder / re.sub(r"[^a-z0-9]+", "-", case.name)
    work.mkdir(exist_ok=True)
    config, said, curve = work / "config.json", work / "log", work / "metrics.jsonl"
    config.write_text(json.dumps(configuration(case, model=model, rows=rows, work=work)), encoding="utf-8")
    environment = {**os.environ, CONFIG_ENV: str(config), TERMINATION_LOG_ENV: str(work / "termination-log")}
    with said.open("wb") as log_file:
        trainer = subprocess.Popen(_TRAINER, env=environment, stdout=log_file, stderr=subprocess.STDOUT)
        while stop and trainer.poll() is None:
            time.sleep(_POLL_SECONDS)
            if curve.exists() and curve.read_text(encoding="utf-8").count('"loss"') >= _STOP_AFTER:
                trainer.terminate()
                break
        code = trainer.wait()
    return code, said.read_text(encoding="utf-8", errors="replace"), work


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


def out_of_memory(folder: Path, *, model: Path, rows: Path, processes: int = 1) -> tuple[bool, str]:
    """With the memory of the last GPU taken by this process, the trainer must say so, and not something else."""
    import torch

    device = torch.device("cuda", processes - 1)
    free, _ = torch.cuda.mem_get_info(device)
    taken = torch.empty(max(0, free - _LEFT_BYTES), dtype=torch.uint8, device=device)
    training = {"packing": False, "microBatchSize": 16, "effectiveBatchSize": 16 * processes}
    sharding = {} if processes == 1 else {"sharding": "ddp"}
    case = Case(f"out of memory on {processes}", "full", training | sharding, processes)
    code, text, work = run(case, folder, model=model, rows=rows)
    del taken
    torch.cuda.empty_cache()
    if code != EXIT_CODES[Outcome.OUT_OF_GPU_MEMORY]:
        return False, f"exit code {code}\n{text[-3000:]}"
    return True, str(json.loads((work / "termination-log").read_text(encoding="utf-8"))["message"])


def goes_on(case: Case, folder: Path, *, model: Path, rows: Path) -> tuple[bool, str]:
    """Stopped by SIGTERM it leaves a checkpoint; started again, it goes on from there to the end."""
    case = replace(case, name=f"{case.name}, stopped")
    code, text, _ = run(case, folder, model=model, rows=rows, stop=True)
    if code != EXIT_CODES[Outcome.INTERRUPTED]:
        return False, f"exit code {code} after SIGTERM\n{text[-3000:]}"
    code, text, work = run(case, folder, model=model, rows=rows)
    good, line = judge(code, text, work)
    if not good:
        return False, line
    step = json.loads((work / "termination-log").read_text(encoding="utf-8")).get("resumedFromStep")
    return step is not None and step >= _STOP_AFTER, f"went on from step {step}, {line}"


def checks(folder: Path, *, gpus: int) -> Iterator[tuple[str, bool, str]]:
    """Of each its name, whether it was good, and a line of what was measured."""
    model, rows = folder / "model", folder / "rows.jsonl"
    make_model(model)
    make_rows(rows)
    for case in (*CASES, *several(gpus)):
        yield case.name, *judge(*run(case, folder, model=model, rows=rows))
    for case in stopped(gpus):
        yield f"{case.name}, stopped", *goes_on(case, folder, model=model, rows=rows)
    for processes in sorted({1, gpus}):
        yield f"out of memory on {processes}", *out_of_memory(folder, model=model, rows=rows, processes=processes)


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
        gpus = torch.cuda.device_count()
        for case, good, line in checks(folder, gpus=gpus):
            failed += not good
            log.info("%-32s %s  %s", case, "ok  " if good else "FAIL", line)
        failed += not measure(folder, gpus=gpus, into=into)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
