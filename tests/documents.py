"""The project's documents, taken apart: blocks of code, commands, links."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[1]
PAGES = sorted(
    [*TOP.glob("*.md"), *TOP.glob("docs/*.md"), *TOP.glob("requirements/*.md")], key=lambda path: path.as_posix()
)
PROGRAMS = (
    "curl",
    "eval",
    "export",
    "finetune",
    "git",
    "helm",
    "kubectl",
    "make",
    "pip",
    "python",
    "python3",
    "sha256sum",
)
# A block of code without a language holds commands, but for the picture on this page.
PICTURES = ("docs/architecture.md",)

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_INDENTED = re.compile(r"^ {4}(\S.*)$", re.MULTILINE)
_COMMENT = re.compile(r"\s{2,}#.*$")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code."""

    page: Path
    line: int
    language: str
    text: str


def name_of(page: Path) -> str:
    """From the top of the tree."""
    return page.relative_to(TOP).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """Those of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 2
        yield Block(page, line, found[2], textwrap.dedent(found[3]))


def commands(page: Path) -> list[str]:
    """What a reader of the page may type: in blocks, in indented lines, and within sentences."""
    text = page.read_text(encoding="utf-8")
    prose = _FENCE.sub("", text)
    found = [command for block in blocks(page) for command in block_commands(block)]
    found += [line for line in (_bare(each) for each in _INDENTED.findall(prose)) if _is_command(line)]
    found += [span for span in _SPAN.findall(prose) if _is_command(span)]
    return list(dict.fromkeys(found))


def block_commands(block: Block) -> list[str]:
    """The commands of a block: its lines, or those behind a $ where it shows what they print."""
    if block.language not in ("", "sh", "bash", "console") or name_of(block.page) in PICTURES:
        return []
    lines = block.text.replace("\\\n", " ").splitlines()
    shown = [line[2:] for line in lines if line.startswith("$ ")] or lines
    return [bare for bare in map(_bare, shown) if bare]


def links(page: Path) -> list[str]:
    """Targets of its links, but for the web's."""
    prose = _SPAN.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
    return [target for target in _LINK.findall(prose) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Of its headings, as they are made from their text."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _bare(line: str) -> str:
    """Without its comment and with single spaces."""
    return " ".join(_COMMENT.sub("", line).split()) if not line.startswith("#") else ""


def _is_command(text: str) -> bool:
    """Whether it is more than the name of a program or of a file."""
    first, _, rest = text.partition(" ")
    return first in PROGRAMS and bool(rest)
