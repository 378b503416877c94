"""How fast rows become tokens: `python -m bench.tokenize [ROWS]`, two-turn ChatML conversations of about 230 tokens.

Prints rows and tokens per second for reading and tokenising, for packing, and for a resume, which maps what is there.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

from finetune_trainer.data import prepare
from tests.finetune_trainer.data.conftest import configuration
from tests.finetune_trainer.data.tokenizers_made import family

WORDS = [
    "hello",
    "world",
    "this is",
    "a test",
    "of what",
    "a model",
    "has to say",
    "below",
    "an instruction",
    "describes a task",
]


def write_rows(path: Path, count: int) -> None:
    """`count` conversations whose length varies as that of real ones does: few long ones, many short ones."""
    generator = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            turns = []
            for role in ("user", "assistant", "user", "assistant"):
                length = min(400, int(generator.lognormvariate(3.0, 0.7)))
                turns.append({"role": role, "content": " ".join(generator.choices(WORDS, k=length))})
            file.write(json.dumps({"messages": turns}) + "\n")


def main() -> None:
    """Measure once."""
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)7.0f ms  %(message)s")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    tokenizer = family("chatml")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "train.jsonl"
        write_rows(path, count)
        config = configuration(scratch, {}, packing=True, maxSequenceLength=2048, effectiveBatchSize=16)
        start = time.perf_counter()
        prepared = prepare(config, tokenizer, path)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        prepare(config, tokenizer, path)
        again = time.perf_counter() - start
    rate = f"{count / seconds:,.0f} rows/s, {prepared.counts.tokens / seconds:,.0f} tokens/s"
    print(f"{count:,} rows, {prepared.counts.tokens:,} tokens in {seconds:.1f} s: {rate}; again: {again:.2f} s")


if __name__ == "__main__":
    main()
