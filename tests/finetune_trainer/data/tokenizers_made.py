"""Small tokenizers, made on the spot, with the chat templates of model families written down as they write turns."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant') }}{% endif %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
# The whole text is closed by the end-of-text token, so that no part of a conversation is a prefix of it.
PHI3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
# Thoughts are kept, or an empty one is written, for responses after the last question only.
QWEN3 = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% set said = m.content.split('</think>')[-1].lstrip('\n') %}"
    "{% set thought = '' %}{% if '</think>' in m.content %}"
    "{% set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\n') %}{% endif %}"
    "<|im_start|>assistant\n"
    "{% if loop.index0 > ns.last %}<think>\n{{ thought }}\n</think>\n\n{% endif %}{{ said }}<|im_end|>\n"
    "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# The generation prompt opens a thought that the training data may not have.
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<|User|>{{ m.content }}"
    "{% elif m.role == 'assistant' %}<|Assistant|>{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)
# The system prompt stands in the last question, wherever that is.
MISTRAL_V3 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content %}"
    "{% set turns = messages[1:] %}{% else %}{% set turns = messages %}{% endif %}"
    "{% set ns = namespace(last=0) %}{% for m in turns %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}"
    "{% for m in turns %}{% if m.role == 'user' %}[INST] {% if system is defined and loop.index0 == ns.last %}"
    "{{ system }}\n\n{% endif %}{{ m.content }}[/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
# Neither end-of-turn nor end-of-text token.
VICUNA_BARE = (
    "{% for m in messages %}{{ 'USER: ' if m.role == 'user' else 'ASSISTANT: ' }}{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT: {% endif %}"
)
MARKED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_TEXT = ["hello world, this is a test of what a model has to say\n", "Below is an instruction that describes a task.\n"]


def byte_level(
    template: str | None,
    *,
    eos: str = "<|im_end|>",
    bos: str | None = None,
    special: tuple[str, ...] = (),
    added: tuple[str, ...] = (),
    adds_bos: bool = False,
) -> PreTrainedTokenizerFast:
    """As GPT-2's, Llama 3's and Qwen's. `added` are tokens of their own that aren't marked special."""
    specials = [token for token in dict.fromkeys((*special, eos, bos)) if token]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        _TEXT * 9,
        trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, special_tokens=specials, show_progress=False),
    )
    return _finished(tokenizer, template, eos, bos, added, adds_bos)


def metaspace(template: str | None, *, eos: str = "</s>", bos: str = "<s>") -> PreTrainedTokenizerFast:
    """As Llama 2's and Mistral's: spaces are ▁, and one is put before the text."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    specials = ["<unk>", bos, eos, "[INST]", "[/INST]"]
    alphabet = [chr(code) for code in range(32, 127)]
    tokenizer.train_from_iterator(
        _TEXT * 9,
        trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=specials, show_progress=False),
    )
    return _finished(tokenizer, template, eos, bos, (), True)


def _finished(
    tokenizer: Tokenizer, template: str | None, eos: str, bos: str | None, added: tuple[str, ...], adds_bos: bool
) -> PreTrainedTokenizerFast:
    tokenizer.add_tokens(list(added))
    if adds_bos and bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos, bos_token=bos, pad_token=eos)
    made.chat_template = template
    return made


def family(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer with the chat template of a family of models."""
    match name:
        case "chatml":
            return byte_level(CHATML, special=("<|im_start|>", "<|endoftext|>"))
        case "marked":
            return byte_level(MARKED, special=("<|im_start|>", "<|endoftext|>"))
        case "qwen3":
            return byte_level(QWEN3, special=("<|im_start|>", "<|endoftext|>"), added=("<think>", "</think>"))
        case "llama3":
            special = ("<|start_header_id|>", "<|end_header_id|>")
            return byte_level(LLAMA3, eos="<|eot_id|>", bos="<|begin_of_text|>", special=special, adds_bos=True)
        case "gemma":
            special = ("<start_of_turn>", "<end_of_turn>")
            return byte_level(GEMMA, eos="<eos>", bos="<bos>", special=special, adds_bos=True)
        case "phi3":
            special = ("<|end|>", "<|user|>", "<|assistant|>", "<|system|>")
            return byte_level(PHI3, eos="<|endoftext|>", special=special)
        case "r1":
            special = ("<|User|>", "<|Assistant|>")
            return byte_level(
                R1, eos="<|eos|>", bos="<|bos|>", special=special, added=("<think>", "</think>"), adds_bos=True
            )
        case "mistral":
            return metaspace(MISTRAL)
        case "mistral-v3":
            return metaspace(MISTRAL_V3)
        case "vicuna-bare":
            return byte_level(VICUNA_BARE, eos="</s>")
        case "base":
            return byte_level(None, eos="<|endoftext|>")
        case "base-bos":
            return byte_level(None, eos="</s>", bos="<s>", adds_bos=True)
    raise ValueError(name)
