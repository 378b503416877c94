"""`python -m e2e.demo.make_model --output DIR`: a small base model and its tokenizer, made in about two minutes.

A Llama of 0.66 million parameters reads the prose of installed packages' documentation and simple chats. It knows what
a chat is and can look back into the question; of tickets it has never heard. Two layers of width 128 with a wide
initialisation are deliberate: in the same time, deeper and wider ones learned to look back less often.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from e2e.demo import corpus, exercises

VOCABULARY = 2048
CONTEXT = 1024  # positions that the model has
CHARACTERS = 2_000_000
STEPS = 450
BATCH = 16
LENGTH = 192  # tokens of a pretraining sequence
LEARNING_RATE = 4e-3
SEED = 0
END_OF_TEXT, TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# ChatML. The generation tags are for trainers that find the assistant's tokens by them.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "<|im_start|>assistant\n{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}\n"
    "{% else %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def cached_model() -> Path:
    """The model of this recipe in the cache, made first if it is not there.

    Raises:
        RuntimeError: the installed packages have too little documentation to learn from.
        ImportError: torch or transformers is not installed.
    """
    made = cache_folder() / "demo" / key() / "model"
    if (made / "model.safetensors").exists():
        return made
    new = made.with_name(f"model.{os.getpid()}.new")
    shutil.rmtree(new, ignore_errors=True)
    make(new)
    made.parent.mkdir(parents=True, exist_ok=True)
    try:
        new.rename(made)
    except OSError:  # another process was faster; its model is the same
        shutil.rmtree(new)
    return made


def cache_folder() -> Path:
    """FINETUNE_CACHE, or its usual place."""
    return Path(os.environ.get("FINETUNE_CACHE") or Path.home() / ".cache" / "finetune-operator")


def key() -> str:
    """Of the sources that decide what the model is."""
    digest = hashlib.sha256()
    for module in (__file__, corpus.__file__, exercises.__file__):
        digest.update(Path(module).read_bytes())
    return digest.hexdigest()[:16]


def make(folder: Path, *, steps: int = STEPS) -> None:
    """Train tokenizer and model and save both into the folder. A model of a few steps knows nothing, but is one."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    began = time.monotonic()
    texts = corpus.paragraphs(CHARACTERS)
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=_tokenizer(texts),
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        model_max_length=CONTEXT,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    print(
        f"tokenizer of {len(tokenizer):,} tokens from {sum(map(len, texts)):,} characters, "
        f"{time.monotonic() - began:.0f} s",
        flush=True,
    )

    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=352,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.06,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    _pretrain(model, list(_sequences(tokenizer, texts, steps)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    print(f"base model in {folder}, {model.num_parameters():,} parameters, {time.monotonic() - began:.0f} s in all")


def _tokenizer(texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[END_OF_TEXT, TURN, END_OF_TURN],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


def _sequences(tokenizer: Any, texts: Sequence[str], steps: int) -> Iterator[list[int]]:
    """Documents one after the other, cut into equal lengths; every second document is a chat."""
    rng = random.Random(SEED)
    words = sorted({word for text in texts for word in re.findall(r"\b[a-z]{3,9}\b", text)})
    stream: list[int] = []
    needed = steps * BATCH * LENGTH
    while len(stream) < needed:
        prose = rng.sample(texts, 256)
        # as many tokens of chats as of prose would be too many: half of the documents is what works
        chats = [exercises.chat(rng, words) for _ in prose]
        documents = [*prose, *tokenizer.apply_chat_template(chats, tokenize=False)]
        rng.shuffle(documents)
        for ids in tokenizer(documents)["input_ids"]:
            stream.extend((*ids, tokenizer.pad_token_id))
    for start in range(0, needed, LENGTH):
        yield stream[start : start + LENGTH]


def _pretrain(model: Any, sequences: Sequence[list[int]]) -> None:
    import torch

    steps = len(sequences) // BATCH
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.05)
    data = torch.tensor(sequences).view(steps, BATCH, LENGTH)
    model.train()
    threads = torch.get_num_threads()
    # images are built meanwhile: threads that wait for each other on busy cores took ten times as long
    torch.set_num_threads(1)
    began = time.monotonic()
    for step, batch in enumerate(data, start=1):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % (max(1, steps // 6)) == 0:
            print(
                f"pretraining step {step}/{steps}, loss {loss.item():.2f}, {time.monotonic() - began:.0f} s", flush=True
            )
    torch.set_num_threads(threads)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.demo.make_model", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for model and tokenizer")
    output: Path = parser.parse_args(arguments).output
    shutil.copytree(cached_model(), output, dirs_exist_ok=True)
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
