"""A model that is made on the spot: two layers of Llama, a tokenizer of its own, and rows that it can learn."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOPICS = {"invoice": "billing", "password": "account", "parcel": "shipping", "crash": "technical"}


def rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Chat rows whose answer follows from one word of the question."""
    generator = random.Random(seed)
    made = []
    for _ in range(count):
        word, answer = generator.choice(list(TOPICS.items()))
        filler = " ".join(generator.choices(["please", "help", "my", "is", "the", "lost", "today"], k=6))
        question, reply = f"{filler} {word} {filler[:9]}", f"team {answer}"
        made.append({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]})
    return made


def write_rows(path: Path, content: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return path


def make_tokenizer(path: Path) -> int:
    """Byte-level BPE with ChatML; returns the size of the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [message["content"] for row in rows(200, seed=9) for message in row["messages"]]
    tokenizer.train_from_iterator([*texts, "user assistant system"], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(path)
    return len(fast)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers, hidden size 64, with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    path = tmp_path_factory.mktemp("tiny-model")
    vocabulary = make_tokenizer(path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.06,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    (path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# tiny\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def train_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "train.jsonl", rows(64))


@pytest.fixture
def job(tiny_model: Path, train_rows: Path, tmp_path: Path) -> dict[str, Any]:
    """A whole configuration in its wire form: LoRA on the tiny model, to be changed by each test."""
    return {
        "contractVersion": 1,
        "job": {"namespace": "default", "name": "tickets", "uid": "11111111-2222-3333-4444-555555555555", "attempt": 1},
        "workDir": str(tmp_path / "work"),
        "port": 0,
        "accelerator": "cpu",
        "model": {"source": {"uri": f"file://{tiny_model}", "path": str(tiny_model)}, "trustRemoteCode": False},
        "method": "lora",
        "dataset": {
            "train": {"uri": f"file://{train_rows}", "path": str(train_rows)},
            "validationFraction": 0.25,
            "trainOn": "responses",
            "overlong": "drop",
            "emptyResponses": "fail",
        },
        "adapter": {"rank": 8, "alpha": 16, "dropout": 0.1, "targetModules": ["all-linear"]},
        "training": {
            "epochs": 3,
            "learningRate": 2e-3,
            "effectiveBatchSize": 8,
            "microBatchSize": 4,
            "maxSequenceLength": 128,
            "packing": True,
            "scheduler": "cosine",
            "warmupRatio": 0.1,
            "optimizer": "adamw",
            "weightDecay": 0.0,
            "maxGradNorm": 1.0,
            "seed": 42,
            "gradientCheckpointing": False,
        },
        "checkpoint": {"intervalSeconds": 600, "keep": 2},
        "output": {"uri": "pvc://tickets-work/output"},
    }
