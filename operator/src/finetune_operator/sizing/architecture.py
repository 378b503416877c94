"""The shape of a model, as far as its memory and its arithmetic depend on it. Numbers of elements, never bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Linear:
    """One kind of matrix of the transformer's layers, `inputs` x `outputs`."""

    name: str
    """The last part of the module's name, as PEFT and bitsandbytes see it: q_proj, gate_up_proj, c_attn ..."""
    inputs: int
    outputs: int
    layers: int
    """Number of layers that have it."""
    part: Literal["attention", "mlp", "router"]
    copies: int = 1
    """How many of it one layer has: 1, or the number of experts."""
    active: int = 1
    """How many of the copies one token passes through."""
    bias: bool = False
    module: bool = True
    """A linear layer of its own, which can get an adapter and be quantised; False: a bare parameter of experts."""

    @property
    def matrix(self) -> int:
        """Elements of one matrix, without its bias."""
        return self.inputs * self.outputs

    @property
    def weights(self) -> int:
        """Elements of all its matrices in the model, without biases."""
        return self.matrix * self.layers * self.copies


@dataclass(frozen=True, slots=True)
class DeltaRule:
    """Linear attention by a gated delta rule (arXiv:2412.06464), in place of attention in some layers."""

    layers: int
    """Number of layers that have it."""
    heads: int
    """Of values. Each group of them shares a head of queries and of keys, which is copied for each."""
    key_dim: int
    value_dim: int
    """Of one head."""
    convolved: int
    """Width of queries, keys and values together, before they are copied."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder-only language model."""

    model_type: str
    """As in config.json: llama, qwen3_moe ...; what spec.model.architecture gives is `custom`."""
    hidden_size: int
    """Width of the residual stream."""
    layers: int
    vocabulary_size: int
    attention_heads: int
    key_value_heads: int
    head_dim: int
    intermediate_size: int
    """Width of what one token passes through in the widest feed-forward layer: of all its active experts together."""
    linears: tuple[Linear, ...]
    """Every matrix of the layers. The output head is not among them."""
    tied_embeddings: bool
    """The output head shares the embedding's weights."""
    other_parameters: int
    """Norms, biases, learned positions, attention sinks: what is neither in `linears`, nor embedding, nor head."""
    gated: bool = True
    """The feed-forward layer has a gate (SwiGLU and the like) beside its up projection."""
    norms_per_layer: int = 2
    """Norms as wide as the residual stream, in each layer."""
    parallel: bool = False
    """Attention and feed-forward layer read the same normed input and are added together (GPT-NeoX, phi)."""
    query_key_norm: bool = False
    """Queries and keys are normed, head by head (Qwen3, Gemma3)."""
    logit_softcap: bool = False
    """Logits pass through a tanh (Gemma 2)."""
    sliding_window: int | None = None
    """Tokens that a layer with a sliding window looks back."""
    sliding_layers: int = 0
    """Layers that have one."""
    delta_rule: DeltaRule | None = None
    recurrent: bool = False
    """Some layers carry a state along the sequence, from one packed example into the next (the delta rule, Mamba, short
    convolutions, lightning attention): transformers keeps examples apart in attention alone.
    """
    max_positions: int | None = None
    """Longest sequence that the model was made for, in tokens."""
    stored_quantization: str | None = None
    """How the weights are stored, where it isn't as they were trained: bitsandbytes, gptq, mxfp4 ..."""

    @property
    def query_width(self) -> int:
        """Of the output of attention, before its projection."""
        return self.attention_heads * self.head_dim

    @property
    def key_value_width(self) -> int:
        """Of the keys, and of the values."""
        return self.key_value_heads * self.head_dim

    @property
    def linear_parameters(self) -> int:
        """In the matrices of all layers."""
        return sum(linear.weights for linear in self.linears)

    @property
    def embedding_parameters(self) -> int:
        """In the token embedding."""
        return self.vocabulary_size * self.hidden_size

    @property
    def head_parameters(self) -> int:
        """In an output head of its own; 0 where it is the embedding's."""
        return 0 if self.tied_embeddings else self.vocabulary_size * self.hidden_size

    @property
    def parameters(self) -> int:
        """In all; the figure that model cards give."""
        return self.linear_parameters + self.embedding_parameters + self.head_parameters + self.other_parameters

    @property
    def active_parameters(self) -> int:
        """Those that one token is multiplied with: as `parameters`, with the active experts alone."""
        idle = sum(linear.matrix * linear.layers * (linear.copies - linear.active) for linear in self.linears)
        return self.parameters - idle
