"""Golden files: what is made, as a reviewer reads it. GOLDEN=rewrite writes them anew; the diff is the review."""

from __future__ import annotations

import os
from pathlib import Path


def agrees(path: Path, text: str) -> bool:
    """Whether the file says the same; rewritten first if so wished."""
    if os.environ.get("GOLDEN") == "rewrite":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path.is_file() and path.read_text(encoding="utf-8") == text
