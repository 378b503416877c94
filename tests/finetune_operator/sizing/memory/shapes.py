"""Configurations of public models, as their config.json has them: what the oracle builds and the model reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.models.config_json import from_config

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    # Llama 3.1 8B
    "llama-8b": {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": False,
    },
    # Llama 3.2 1B: the head shares the embedding
    "llama-1b": {
        "model_type": "llama",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
    },
    # Qwen3 30B-A3B: 8 of 128 experts, queries and keys normed
    "qwen3-moe": {
        "model_type": "qwen3_moe",
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_hidden_layers": 48,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "norm_topk_prob": True,
        "vocab_size": 151936,
        "max_position_embeddings": 40960,
        "tie_word_embeddings": False,
    },
    # H2O-Danube 2 1.8B: heads of 80, four queries to a key
    "danube": {
        "model_type": "mistral",
        "hidden_size": 2560,
        "intermediate_size": 6912,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 80,
        "vocab_size": 32000,
        "max_position_embeddings": 8192,
        "sliding_window": None,
        "tie_word_embeddings": False,
    },
    # Gemma 2 2B: a tanh around scores and logits, which only eager attention has
    "gemma2": {
        "model_type": "gemma2",
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 256000,
        "max_position_embeddings": 8192,
        "sliding_window": 4096,
        "tie_word_embeddings": True,
    },
    # Gemma 3 1B: heads of 256 over a stream of 1152, four norms a layer, a vocabulary of 262,144
    "gemma3": {
        "model_type": "gemma3_text",
        "hidden_size": 1152,
        "intermediate_size": 6912,
        "num_hidden_layers": 26,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "vocab_size": 262144,
        "max_position_embeddings": 32768,
        "sliding_window": 512,
        "tie_word_embeddings": True,
    },
    # Qwen3 4B: queries and keys normed
    "qwen3": {
        "model_type": "qwen3",
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    # Phi-3 mini: gate and up, and queries, keys and values in one matrix
    "phi3": {
        "model_type": "phi3",
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 32064,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
    },
    # Qwen3.5 9B, one layer with attention and three with a gated delta rule, of 32
    "qwen3.5": {
        "model_type": "qwen3_5_text",
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 4,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "full_attention_interval": 4,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "vocab_size": 248320,
        "tie_word_embeddings": False,
    },
    # Qwen3-Next 80B-A3B, as many layers of 48: 10 of 512 experts, and one that all tokens share
    "qwen3-next": {
        "model_type": "qwen3_next",
        "hidden_size": 2048,
        "intermediate_size": 5120,
        "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
        "num_experts": 512,
        "num_experts_per_tok": 10,
        "num_hidden_layers": 4,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "full_attention_interval": 4,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4,
        "vocab_size": 151936,
        "tie_word_embeddings": False,
    },
    # with LayerNorm: GPT-2 large
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 1280,
        "n_layer": 36,
        "n_head": 20,
        "n_positions": 1024,
        "vocab_size": 50257,
        "resid_pdrop": 0.1,
    },
    # OPT 2.7B: ReLU
    "opt": {
        "model_type": "opt",
        "hidden_size": 2560,
        "ffn_dim": 10240,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "word_embed_proj_dim": 2560,
        "vocab_size": 50272,
        "max_position_embeddings": 2048,
        "dropout": 0.1,
    },
    # Pythia 2.8B: attention beside the feed-forward layer, each with a norm
    "pythia": {
        "model_type": "gpt_neox",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 50304,
        "tie_word_embeddings": False,
    },
    # Phi-2: beside each other, with one norm
    "phi": {
        "model_type": "phi",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 51200,
        "resid_pdrop": 0.1,
        "tie_word_embeddings": False,
    },
    # Falcon 7B: one key and value, linear layers of a class of its own
    "falcon": {
        "model_type": "falcon",
        "hidden_size": 4544,
        "num_hidden_layers": 32,
        "num_attention_heads": 71,
        "vocab_size": 65024,
        "multi_query": True,
        "parallel_attn": True,
        "bias": False,
        "new_decoder_architecture": False,
    },
    # StarCoder2 3B
    "starcoder2": {
        "model_type": "starcoder2",
        "hidden_size": 3072,
        "intermediate_size": 12288,
        "num_hidden_layers": 30,
        "num_attention_heads": 24,
        "num_key_value_heads": 2,
        "vocab_size": 49152,
        "max_position_embeddings": 16384,
        "sliding_window": 4096,
        "use_bias": True,
        "residual_dropout": 0.1,
        "embedding_dropout": 0.1,
    },
}


def architecture(name: str) -> Architecture:
    """The shape of one of them."""
    return from_config(CONFIGS[name])
