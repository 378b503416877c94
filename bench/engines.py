"""What each engine that was measured does, as far as its memory depends on it, read from its source code.

A published row says what the user set; the rest is the engine's. Nothing here is fitted to the figures.
torch.optim.AdamW and the Hugging Face Trainer's adamw_torch of those years are foreach where nobody says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import TypeAdapter

from bench.points import Point
from bench.shapes import architecture
from finetune_api.schema import Method, Optimizer, Sharding
from finetune_operator.sizing.architecture import Architecture
from finetune_operator.sizing.setup import Engine, Kernel, Setup


class LeftOut(Exception):  # noqa: N818  the row is not wrong
    """A row that cannot be put to the model, with the reason."""


# The terms that each metric does not see. An allocator knows nothing of the CUDA context, and what it has handed out
# is less than what it holds; nvidia-smi, which is what most READMEs seem to have read, sees all.
UNSEEN = {
    "torch max_memory_allocated": ("context", "fragmentation"),
    "torch peak memory": ("context", "fragmentation"),
    "peak active": ("context", "fragmentation"),
    "torch max_memory_reserved": ("context",),
    "unknown": (),
    "largest seq that fits": (),
}

_SETUP = TypeAdapter(Setup)
HOARDED = "github.com/modelscope/ms-swift"


def beyond(point: Point) -> str | None:
    """What the engine of the row does that no assumption says, and that outweighs the model's own error."""
    if point.source.startswith(HOARDED):
        return "max_memory_reserved over rows of 91 to 19548 tokens: what the allocator hoarded"
    return None


LLAMA_ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
QWEN_ALL = ("c_attn", "c_proj", "w1", "w2")


def setup(point: Point) -> Setup:
    """The run that the row describes. LeftOut where it cannot be known or the model has no words for it."""
    if point.shape is None:
        raise LeftOut("model's shape or the run's settings not stated")
    if not point.sequence.isdigit() or not point.micro_batch.isdigit():
        raise LeftOut("sequence length or batch size not stated")
    if point.kind == "measured" and point.measured_bytes is None:
        raise LeftOut("ran out of memory: a bound, not a figure")
    read = next((each for start, each in SOURCES.items() if point.source.startswith(start)), None)
    if read is None:
        raise LeftOut("engine's settings not stated")
    return read(point, architecture(point.model, point.shape))


def _setup(
    point: Point,
    shape: Architecture,
    *,
    targets: tuple[str, ...] = (),
    engine: Engine,
    **more: object,
) -> Setup:
    settings: dict[str, object] = {
        "method": _method(point),
        "micro_batch_size": int(point.micro_batch),
        "sequence_length": int(point.sequence),
        "gradient_checkpointing": bool(point.checkpointing),
        "packed": False,
        "kernel": _kernel(point),
        "rank": point.rank or 16,
        "target_modules": targets,
        "accelerators": point.accelerators,
        "sharding": _sharding(point),
        "engine": engine,
    }
    return _SETUP.validate_python({"architecture": shape, **settings, **more})


def _method(point: Point) -> Method:
    match point.method.partition("+")[0]:
        case "full" | "lora" | "qlora" | "ia3" as method:
            return method
        case other:
            raise LeftOut(f"no such method here: {other}")


def _kernel(point: Point) -> Kernel:
    if point.attention.startswith("FA2"):
        return "flash"
    return "eager" if point.attention == "eager" else "sdpa"


def _sharding(point: Point) -> Sharding:
    if point.accelerators == 1:
        return "none"
    match point.sharding:
        case "fsdp":
            return "fsdp"
        case "ddp":
            return "ddp"
        case other:
            raise LeftOut(f"no such sharding here: {other}")


ZERO_2_GIB = 2 * 2e8 * 2 / 2**30  # finetune/ds_config_zero2.json: two buckets of 2e8 fp16 gradients


def qwen(point: Point, shape: Architecture) -> Setup:
    """QwenLM/Qwen finetune.py under the Hugging Face Trainer, gradient accumulation 8, rows padded to the maximum.

    The README pairs torch 2.0 with peft 0.5, which makes adapters in fp32 (tuners/lora.py moves them to the weights'
    device alone), and copies modules that are trained whole in the weights' bf16. Those outweigh the adapters by far,
    so all that is trained counts as bf16 there. Over GPTQ weights DeepSpeed keeps fp16 copies of fp32 masters:
    together as many bytes as fp32 adapters with their gradients. It has no autocast, and modeling_qwen.py leaves logits
    as they are: the loss is in fp16.
    """
    if point.method == "full":
        raise LeftOut("DeepSpeed ZeRO-3 on one GPU, with flat fp32 copies: 24 bytes a parameter")
    if point.accelerators > 1:
        raise LeftOut("the sum over several GPUs, under DeepSpeed")
    whole = point.method.endswith("emb/head")
    return _setup(
        point,
        shape,
        targets=QWEN_ALL,
        accumulation=8,
        precision="fp16" if point.method == "qlora" else "bf16",
        modules_to_save=("embed_tokens", "lm_head") if whole else (),
        engine=Engine(
            loss_kernel="eager",
            loss_precision="half" if point.method == "qlora" else "fp32",
            adapter_precision="bf16" if whole else "fp32",
            optimizer_precision="bf16" if whole else "fp32",
            # DeepSpeed's own AdamW has fp32 copies of the gradients instead
            optimizer_kernel="foreach" if point.method == "qlora" else "foreach-2.0",
            quantization="int4-gptq",
            gradient_buckets_gib=ZERO_2_GIB if point.method == "qlora" else 0,
        ),
    )


def litgpt(point: Point, shape: Architecture) -> Setup:
    """Lightning-AI/litgpt finetune/{lora,full}.py at precision bf16-true: no autocast, adapters and states in bf16.

    Under --quantize the optimizer is bitsandbytes' PagedAdamW, of 0.41 or 0.42, which kept the inputs of quantised
    matrices (its commit 9e75374 ended it). No checkpointing on one GPU. Each adapter of the fused
    query-key-value matrix is its own pair (LoRAQKVLinear), as if the three were apart. Attention is causal without a
    mask.
    """
    if point.accelerators > 1:
        raise LeftOut("FSDP that did not shard the frozen weights: each GPU held a whole copy")
    if "OOM" in point.value:
        raise LeftOut("ran out of memory: a bound, not a figure")
    if point.method == "full" and point.model in ("Llama-3.2-1B", "Llama-3.2-3B", "Phi-3-mini"):
        raise LeftOut("less than weights, gradients and AdamW's states in bf16 take: not the settings that it names")
    return _setup(
        point,
        shape,
        targets=_litgpt_targets(point.targets),
        kernel="flash",
        optimizer="pagedAdamw" if point.method == "qlora" else "adamw",
        accumulation=2,
        engine=Engine(
            loss_kernel="eager",
            adapter_precision="bf16",
            optimizer_precision="bf16",
            optimizer_kernel="foreach",
            quantized_inputs="kept",
            quantization="nf4-dq" if point.quant == "nf4-dq" else "nf4",
        ),
    )


def _litgpt_targets(words: str) -> tuple[str, ...]:
    """Its lora_* settings. An adapter of the head is left out: a few bytes a token."""
    if words.startswith("q,v"):
        return ("q_proj", "v_proj")
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "projection": "o_proj"}
    wanted = [names[each] for each in words.split("+") if each in names]
    return tuple(wanted) + (("gate_proj", "up_proj", "down_proj") if "mlp" in words else ())


MAY_2024 = "@0217d44"
TORCHTUNE_RANK = 64  # recipes/configs/llama3_2/3B_{lora,qlora}_single_device.yaml
TORCHTUNE_TARGETS = ("q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def torchtune(point: Point, shape: Architecture) -> Setup:
    """pytorch/torchtune recipes/*_single_device.py: everything in bf16, the optimizer's states too; AdamW fused,
    but for the configurations of May 2024.

    NF4 by torchao, whose scales are quantised twice. Paged optimizers are bitsandbytes'. In May 2024 the loop held its
    fp32 logits until after the backward pass.
    """
    if "(A6000 recipe)" in point.optimizer:
        raise LeftOut("optimizer and checkpointing not stated")
    if "offload" in point.sharding:
        raise LeftOut("weights and optimizer in host memory")
    if point.accelerators > 2:
        raise LeftOut("several GPUs: gradient accumulation and what FSDP keeps gathered not stated")
    flags = "Optimization flags" in point.source
    words = f"{point.optimizer} {point.notes}"
    targets: tuple[str, ...] = TORCHTUNE_TARGETS
    if "q,v (recipe" in point.targets:
        targets = ("q_proj", "v_proj")
    elif "q,k,v,o" in point.targets:
        targets = LLAMA_ALL
    # then utils.wrap_compile took the model alone, and the loss, eager and over all logits, is the peak
    compiled = MAY_2024 not in point.source and ("compile" in words or (flags and "+packed" not in words))
    return _setup(
        point,
        shape,
        targets=targets,
        rank=TORCHTUNE_RANK if flags else point.rank or 8,
        packed="packed" in words or flags,
        optimizer=_torchtune_optimizer(point.optimizer),
        dropout=0.0,
        accumulation=1,
        engine=Engine(
            loss_kernel="chunked" if point.loss == "chunked" else "eager",
            held_logits=MAY_2024 in point.source,
            adapter_precision="bf16",
            optimizer_precision="bf16",
            optimizer_kernel="foreach" if MAY_2024 in point.source else "fused",
            optimizer_in_backward=" in bwd" in words or "optimizer_in_bwd" in words or "+act offload" in words,
            activation_offload="act offload" in words or "as above" in words,
            compiled=compiled,
        ),
    )


def _torchtune_optimizer(words: str) -> Optimizer:
    lower = words.lower()
    if "paged" in lower:
        return "pagedAdamw8bit" if "8bit" in lower else "pagedAdamw"
    return "adamw8bit" if "8bit" in lower else "adamw"


def swift(point: Point, shape: Architecture) -> Setup:
    """modelscope/ms-swift of January 2024 on the Hugging Face Trainer: bf16 weights under autocast, adapters in fp32.

    llm/utils/argument.py: lora_dtype fp32, dropout 0.05, optim adamw_torch, bnb_4bit_use_double_quant. The figure is
    torch.cuda.max_memory_reserved, of rows of very different lengths.
    """
    if point.model.startswith("Baichuan2-13B"):
        raise LeftOut("ALiBi: its attention holds a mask for each head")
    if point.quant == "gptq-int8":
        raise LeftOut("GPTQ in 8 bits")
    return _setup(
        point,
        shape,
        targets=_swift_targets(point.targets),
        accumulation=16,
        engine=Engine(
            loss_kernel="eager",
            optimizer_precision="bf16" if point.method == "full" else "fp32",
            optimizer_kernel="foreach",
            quantization="int4-gptq" if point.quant == "gptq-int4" else "nf4-dq",
        ),
    )


def _swift_targets(targets: str) -> tuple[str, ...]:
    if targets.startswith("attn "):
        return QWEN_ALL
    return {"q,k,v": ("q_proj", "k_proj", "v_proj")}.get(targets, (targets,))


def answer(point: Point, shape: Architecture) -> Setup:
    """AnswerDotAI/fsdp_qlora train.py at precision bf16: adapters in bf16 too, rank 64, dropout 0.1.

    Its `output`, with the logits, is there until the next pass.
    """
    return _setup(
        point,
        shape,
        targets=("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "down_proj"),
        dropout=0.1,
        engine=Engine(
            loss_kernel="eager",
            held_logits=True,
            adapter_precision="bf16",
            optimizer_precision="bf16",
            optimizer_kernel="foreach",
            quantization="nf4",
            quantized_loading="sharded",
        ),
    )


def llama_factory(point: Point, shape: Architecture) -> Setup:
    """hiyouga/LLaMA-Factory of early 2024 on the Hugging Face Trainer: adapters of q_proj and v_proj in fp32."""
    if point.loss == "Unsloth":
        raise LeftOut("Unsloth's own kernels of that time")
    return _setup(
        point,
        shape,
        targets=("q_proj", "v_proj"),
        dropout=0.1,
        accumulation=2,
        engine=Engine(loss_kernel="eager", optimizer_kernel="foreach"),
    )


def unsloth(point: Point, shape: Architecture) -> Setup:
    """Rows of the longest context: Hugging Face with flash attention, or Unsloth, whose checkpoints are in the host.

    What no assumption says: under Hugging Face PEFT's prepare_model_for_kbit_training left embedding, head and norms in
    fp32, and with them the residual stream; Unsloth's kernels write gradients over what they came from.
    """
    own = point.notes.startswith("Unsloth")
    return _setup(
        point,
        shape,
        targets=LLAMA_ALL,
        dropout=0.0,
        accumulation=4,
        engine=Engine(loss_kernel="chunked" if own else "eager", activation_offload=own),
    )


# By how the source begins.
SOURCES: dict[str, Callable[[Point, Architecture], Setup]] = {
    "github.com/QwenLM/Qwen": qwen,
    "github.com/Lightning-AI/litgpt": litgpt,
    "github.com/pytorch/torchtune": torchtune,
    "github.com/modelscope/ms-swift": swift,
    "github.com/AnswerDotAI/fsdp_qlora": answer,
    "github.com/unslothai/unsloth README": llama_factory,
    "unsloth.ai/docs/basics/unsloth-benchmarks": unsloth,
}
