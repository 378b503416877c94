"""English prose without a download: the docstrings of installed packages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

# In this order, each up to its share, so that no package's vocabulary fills the model.
PACKAGES = ("transformers", "torch", "pandas", "datasets", "numpy", "accelerate", "peft", "trl", "huggingface_hub")
# A regular expression finds docstrings a hundred times faster than parsing; what is no docstring is no prose either.
_DOCSTRING = re.compile(r'^[ ]*r?"""(.+?)"""', re.DOTALL | re.MULTILINE)
_PROSE = re.compile(r"[A-Z][A-Za-z0-9 ,;:'\"()/\n.-]{60,1500}[.]")
_MARKUP = re.compile(r"[`*]+|\[(.*?)\]\(.*?\)")
_SHORTEST = 80  # characters: below, it is a heading or a parameter


def paragraphs(limit: int) -> list[str]:
    """Paragraphs of prose, about `limit` characters in all, each only once; always the same for the same packages.

    Raises:
        RuntimeError: the packages that are installed have less than half of it.
    """
    found: dict[str, None] = {}
    for package in PACKAGES:
        size = 0
        for paragraph in _of_package(package):
            if size > limit // len(PACKAGES) * 2:
                break
            if paragraph not in found:
                found[paragraph] = None
                size += len(paragraph)
    kept: list[str] = []
    total = 0
    # interleaved, so that what goes beyond the limit is cut off every package alike
    for paragraph in sorted(found, key=lambda text: text[::-1]):
        total += len(paragraph)
        kept.append(paragraph)
        if total > limit:
            return kept
    if total < limit // 2:
        raise RuntimeError(
            f"only {total:,} characters of prose in the installed packages, {limit:,} wanted; "
            "install the project with its [trainer] extra"
        )
    return kept


def _of_package(name: str) -> Iterator[str]:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return
    root = Path(next(iter(spec.submodule_search_locations)))
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8", errors="ignore")
        for docstring in _DOCSTRING.findall(text):
            for block in inspect.cleandoc(docstring).split("\n\n"):
                plain = " ".join(_MARKUP.sub(r"\1", block).split())
                if len(plain) >= _SHORTEST and _PROSE.fullmatch(plain):
                    yield plain
