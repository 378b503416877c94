"""The model and the data as local paths, wherever they come from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from finetune_api.contract import Outcome, SourceConfig
from finetune_trainer import hub
from finetune_trainer.data.readers import beside, data_files
from finetune_trainer.data.row import listed
from finetune_trainer.failure import Failure
from finetune_trainer.splits import CARD, split_files

# Of a model's repository: configuration, tokenizer, code, card and licence, at its root. Weights come on top.
_BESIDE_WEIGHTS = re.compile(r"[^/]+\.(json|jinja|model|txt|tiktoken|py|md)|(LICENSE|NOTICE|USE_POLICY)[^/]*")
# consolidated*.safetensors hold the same weights once more, in the vendor's own layout.
_WEIGHTS = re.compile(r"(?!consolidated)[^/]+\.safetensors")
_PICKLED = re.compile(r"[^/]+\.(bin|pt|pth|ckpt)")


@dataclass(frozen=True, slots=True)
class ResolvedSource:
    """Where an input lies now. `revision` is the commit that a Hub repository was taken at, to be pinned."""

    path: Path
    revision: str | None


@dataclass(frozen=True, slots=True)
class Description(ResolvedSource):
    """A model without its weights, and the size of these."""

    weight_bytes: int


def fetch_model(source: SourceConfig, *, token: str | None, cache: Path) -> ResolvedSource:
    """The folder of the base model, downloaded into `cache` if it is on the Hub.

    Raises NOT_FOUND, PERMISSION, UNAVAILABLE, TRANSIENT or BAD_CONFIG, each with what to do.
    """
    if source.path is not None:
        path = Path(source.path)
        if not path.exists():
            raise Failure(
                Outcome.NOT_FOUND, "ModelNotFound", f"{source.uri} (spec.model.source): no such folder; {beside(path)}"
            )
        if not path.is_dir():
            raise Failure(
                Outcome.BAD_CONFIG,
                "NoModel",
                f"{source.uri} (spec.model.source) is a file; name the folder that holds config.json",
            )
        _check_model([child.name for child in path.iterdir()], source.uri)
        return ResolvedSource(path, None)
    repository = _repository(source, "model", token)
    commit = hub.commit_of(repository)

    def wanted(sizes: Collection[str]) -> list[str]:
        _check_model(sizes, source.uri)
        return sorted(name for name in sizes if _BESIDE_WEIGHTS.fullmatch(name) or _WEIGHTS.fullmatch(name))

    folder, _ = hub.download(repository, commit, cache, wanted=wanted, purpose="model")
    return ResolvedSource(folder, commit)


def fetch_description(source: SourceConfig, *, token: str | None, cache: Path) -> Description:
    """The base model without its weights. Raises as `fetch_model` does."""
    if source.path is not None:
        path = fetch_model(source, token=token, cache=cache).path
        return Description(path, None, _weight_bytes({child.name: child.stat().st_size for child in path.iterdir()}))
    repository = _repository(source, "model", token)
    commit = hub.commit_of(repository)
    sizes = hub.files_of(repository, commit)
    _check_model(sizes, source.uri)
    names = sorted(name for name in sizes if _BESIDE_WEIGHTS.fullmatch(name))
    folder, _ = hub.download(repository, commit, cache, wanted=lambda _: names, purpose="description")
    return Description(folder, commit, _weight_bytes(sizes))


def fetch_dataset(
    source: SourceConfig,
    *,
    token: str | None,
    cache: Path,
    default_split: str = "train",
    choose: Callable[[Mapping[str, int]], list[str]] = list,
) -> ResolvedSource:
    """A file, or a folder that holds the rows of the split and nothing else.

    `default_split` is the one taken from a Hub data set where the source names none. `choose` is given the files that
    make up the data (name to size in bytes) and says which of them are wanted; a single file is always taken whole.
    Raises as `fetch_model` does, and BAD_DATA where there is no file that can be read.
    """
    if source.path is not None:
        path = Path(source.path)
        files = {name: file.stat().st_size for file, name in data_files(path)}
        if path.is_file():
            return ResolvedSource(path, None)
        names, label = list(files), str(path)
        if source.split is not None or source.subset is not None:
            card = (path / CARD).read_text(encoding="utf-8") if (path / CARD).exists() else ""
            split = source.split or default_split
            names = split_files(names, card, subset=source.subset, split=split, what=source.uri)
            label = f"{path}--{source.subset}--{split}"
        chosen = choose({name: files[name] for name in names})
        return ResolvedSource(path if len(chosen) == len(files) else _linked(path, chosen, cache, label), None)
    repository = _repository(source, "dataset", token)
    commit = hub.commit_of(repository)
    split = source.split or default_split
    card_folder, found = hub.download(
        repository, commit, cache, wanted=lambda sizes: [CARD] if CARD in sizes else [], purpose="card"
    )
    card = (card_folder / CARD).read_text(encoding="utf-8") if found else ""

    def wanted(sizes: Mapping[str, int]) -> list[str]:
        names = [name for name in sizes if not name.startswith(".") and name != CARD]
        names = split_files(names, card, subset=source.subset, split=split, what=source.uri)
        return choose({name: sizes[name] for name in names})

    purpose = f"{source.subset or 'default'}--{split}".replace("/", "-")
    folder, names = hub.download(repository, commit, cache, wanted=wanted, purpose=purpose)
    return ResolvedSource(_linked(folder, names, cache, f"{repository.id}--{commit}--{purpose}"), commit)


def _repository(source: SourceConfig, kind: Literal["model", "dataset"], token: str | None) -> hub.Repository:
    field = "spec.model" if kind == "model" else "spec.dataset.train"
    if source.repository is None:
        raise Failure(
            Outcome.BAD_CONFIG,
            "SourceUnsupported",
            f"{source.uri} ({field}.source) can't be read; hf:// and pvc:// can, and file:// in local runs",
        )
    return hub.Repository(kind, source.repository, source.revision or "main", token, field)


def _weight_bytes(sizes: Mapping[str, int]) -> int:
    return sum(size for name, size in sizes.items() if _WEIGHTS.fullmatch(name))


def _check_model(names: Collection[str], uri: str) -> None:
    """Raise BAD_CONFIG unless the files `names` are a model that can be fine-tuned."""
    what = None
    if "config.json" not in names:
        what = "has no config.json; it is no model in the layout of transformers"
        if "adapter_config.json" in names:
            what = "holds an adapter (adapter_config.json) and no model; name its base model, or merge the two first"
        elif any(name.endswith(".gguf") for name in names):
            what = "holds GGUF files, which can't be fine-tuned; name the repository that they were made from"
    elif not any(_WEIGHTS.fullmatch(name) for name in names):
        what = "has a config.json but no weights (*.safetensors)"
        if any(_PICKLED.fullmatch(name) for name in names):
            what = (
                "has its weights only as pickles (.bin, .pt), which can run code when they are read; convert them to "
            )
            what += "safetensors: https://huggingface.co/spaces/safetensors/convert"
    if what is not None:
        raise Failure(Outcome.BAD_CONFIG, "NoModel", f"{uri} (spec.model.source) {what}; it has {listed(names)}")


def _linked(folder: Path, names: Collection[str], cache: Path, label: str) -> Path:
    """A folder of links to the files `names` of `folder` and nothing else, so that reading it reads the split."""
    links = cache / "splits" / hashlib.sha256("\0".join([label, *names]).encode()).hexdigest()[:16]
    for name in names:
        link = links / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to((folder / name).resolve())
    return links
