"""From the trained model to verified copies of it wherever they are wanted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from finetune_api.contract import TrainerConfig
from finetune_api.status import Output
from finetune_trainer.export import artifact, destination
from finetune_trainer.export.artifact import Kind, Manifest
from finetune_trainer.export.card import card as card
from finetune_trainer.export.card import hub_name
from finetune_trainer.interruption import Interruption
from finetune_trainer.rundir import WorkDir

# A shard is copied from the GPU to host memory as a whole.
_SHARD_SIZE = "1GB"


def check_destinations(config: TrainerConfig) -> None:
    """Before hours of training: raises BAD_CONFIG if a destination holds another job's result or can't be written."""
    for place in config.output.destinations:
        destination.check(place, job=config.job)


def export(
    config: TrainerConfig,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    *,
    weights: dict[str, Any] | None = None,
    card: str,
    model_revision: str | None,
    interruption: Interruption,
) -> list[Output]:
    """Write the result to WORK_DIR/output, verify it, copy it to the destinations and verify the copies.

    `weights` are the model's by name, where the model itself has only a part of them.
    Raises INTERRUPTED between these steps. Starting again from the beginning is always right.
    """
    work = WorkDir(Path(config.work_dir))
    kind: Kind = "model" if config.method == "full" else "adapter"
    temporary = work.root / ".incomplete-output"
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir()
    if kind == "adapter":
        _save_adapter(config, model, temporary, model_revision, weights)
    else:
        model.save_pretrained(temporary, max_shard_size=_SHARD_SIZE, state_dict=weights)
    tokenizer.save_pretrained(temporary)
    (temporary / "README.md").write_text(card, encoding="utf-8")
    manifest = artifact.complete(temporary, job=config.job, kind=kind)
    artifact.verify(temporary, manifest)
    artifact.publish(temporary, work.output)
    outputs = [_output(manifest, config.output.uri)]
    for place in config.output.destinations:
        interruption.check(None)
        destination.copy(work.output, manifest, place)
        outputs.append(_output(manifest, place.uri))
    return outputs


def _save_adapter(
    config: TrainerConfig, model: Any, folder: Path, revision: str | None, weights: dict[str, Any] | None
) -> None:
    # PEFT would write down the path that the base model was read from, which means nothing elsewhere
    source = config.model.source
    for adapter in model.peft_config.values():
        adapter.base_model_name_or_path = hub_name(source) or source.uri.removeprefix("file://")
        adapter.revision = revision
        # PEFT keeps sets, whose order is another one in each process, and the digest with it
        for field in ("target_modules", "modules_to_save"):
            if isinstance(getattr(adapter, field), set):
                setattr(adapter, field, sorted(getattr(adapter, field)))
    # "auto" asks the Hub whether the vocabulary has grown; it never does here
    model.save_pretrained(folder, save_embedding_layers=False, state_dict=weights)
    # PEFT writes a card of its own
    (folder / "README.md").unlink(missing_ok=True)


def _output(manifest: Manifest, uri: str) -> Output:
    return Output(kind=manifest.kind, uri=uri, digest=manifest.digest, size_bytes=manifest.size_bytes)
