"""The model card: what the Hub shows, and what a person needs to judge the result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from finetune_api.contract import SourceConfig, TrainerConfig
from finetune_api.status import Metrics, ResolvedInputs


@dataclass(frozen=True, slots=True)
class Measured:
    """What the card says of the run."""

    steps: int
    max_length: int
    """Tokens."""
    first_loss: float | None
    eval_loss_before: float | None
    metrics: Metrics


def card(config: TrainerConfig, measured: Measured, *, resolved: ResolvedInputs, base_license: str | None) -> str:
    """README.md of the artifact: YAML front matter for the Hub, then prose and tables."""
    front = yaml.safe_dump(_front_matter(config, base_license), sort_keys=False, allow_unicode=True)
    base = _named(config.model.source, resolved.model_revision)
    data = _named(config.dataset.train, resolved.dataset_revision)
    what = "All weights of the base model, fine-tuned" if config.method == "full" else "A LoRA adapter"
    sections = [
        f"---\n{front}---\n",
        f"# {config.job.name}\n",
        f"{what} ({config.method}), trained on {data}.\n",
        f"- Base model: {base}\n- Licence of the base model: {base_license or 'not stated; see the base model'}\n",
        "## How it was trained\n",
        _table("setting", "value", _settings(config, measured)),
        "## What was measured\n",
        _table("measure", "value", _measures(measured)),
        "## Use\n",
        _usage(config),
    ]
    return "\n".join(sections)


def license_of(folder: Path) -> str | None:
    """The licence that the base model's own card states, if it has one."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    parts = text.split("---", 2)
    if len(parts) < 3 or parts[0].strip():
        return None
    try:
        front = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return None
    stated = front.get("license_name") or front.get("license") if isinstance(front, dict) else None
    return stated if isinstance(stated, str) else None


def hub_name(source: SourceConfig) -> str | None:
    """ORGANISATION/NAME, where the source is a Hub repository."""
    return source.repository if source.path is None or source.uri.startswith("hf://") else None


def _front_matter(config: TrainerConfig, base_license: str | None) -> dict[str, object]:
    front: dict[str, object] = {}
    if base_license is not None:
        front["license"] = base_license
    repository = hub_name(config.model.source)
    if repository is not None:
        # the Hub refuses a base_model that is none of its own
        front["base_model"] = repository
    if hub_name(config.dataset.train) is not None:
        front["datasets"] = [hub_name(config.dataset.train)]
    front["library_name"] = "transformers" if config.method == "full" else "peft"
    front["pipeline_tag"] = "text-generation"
    tags = ["finetune-operator", "sft", "trl"] + ([] if config.method == "full" else ["lora"])
    front["tags"] = [*tags, "qlora"] if config.method == "qlora" else tags
    return front


def _named(source: SourceConfig, revision: str | None) -> str:
    return f"`{source.uri}`" + (f" at revision `{revision}`" if revision else "")


def _settings(config: TrainerConfig, measured: Measured) -> dict[str, object]:
    training = config.training
    rows: dict[str, object] = {
        "method": config.method,
        "steps": measured.steps,
        "epochs": f"{training.epochs:g}",
        "learning rate": f"{training.learning_rate:g}, {training.scheduler}",
        "examples per step": training.effective_batch_size,
        "longest sequence": f"{measured.max_length} tokens",
        "packing": "yes" if training.packing else "no",
        "trained on": config.dataset.train_on,
        "optimizer": training.optimizer,
        "seed": training.seed,
    }
    if config.adapter is not None and config.method != "full":
        adapter = config.adapter
        dropout = "" if adapter.dropout is None else f", dropout {adapter.dropout:g}"
        rows["adapter"] = f"rank {adapter.rank}, alpha {adapter.alpha:g}{dropout}"
        rows["adapted modules"] = ", ".join(adapter.target_modules)
    return rows


def _measures(measured: Measured) -> dict[str, object]:
    metrics = measured.metrics
    rows: dict[str, object] = {"rows": metrics.train_rows, "tokens an epoch": metrics.train_tokens}
    rows["of these counted by the loss"] = metrics.trained_tokens
    rows["training loss of the first step"] = _number(measured.first_loss)
    rows["mean training loss"] = _number(metrics.train_loss)
    if metrics.eval_loss is not None:
        rows["validation loss before training"] = _number(measured.eval_loss_before)
        rows["validation loss"] = _number(metrics.eval_loss)
        if measured.eval_loss_before is not None:
            rows["perplexity before training"] = _number(perplexity(measured.eval_loss_before))
        rows["perplexity"] = _number(metrics.perplexity)
    return {name: value for name, value in rows.items() if value is not None}


def perplexity(loss: float) -> float | None:
    """exp(loss); None where that is too large for a float."""
    return math.exp(loss) if loss < 700 else None


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _table(left: str, right: str, rows: dict[str, object]) -> str:
    lines = [f"| {left} | {right} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines) + "\n"


def _usage(config: TrainerConfig) -> str:
    kind = "AutoModelForCausalLM" if config.method == "full" else "AutoPeftModelForCausalLM"
    library = "transformers" if config.method == "full" else "peft"
    return (
        f"```python\nfrom {library} import {kind}\nfrom transformers import AutoTokenizer\n\n"
        f'model = {kind}.from_pretrained("PATH")\ntokenizer = AutoTokenizer.from_pretrained("PATH")\n```\n'
    )
