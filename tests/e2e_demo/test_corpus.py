from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from e2e.demo import corpus, exercises

PROSE = "This is a sentence that is long enough to be taken for prose, and number {} of those that are here."


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One package with 100 functions, whose documentation is known."""
    package = tmp_path / "documented"
    package.mkdir()
    functions = (f'def f{n}():\n    """{PROSE.format(n)}\n\n    Args:\n        x: short\n    """\n' for n in range(100))
    (package / "__init__.py").write_text("\n".join(functions))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(corpus, "PACKAGES", ("documented", "not_installed"))
    return package


def test_docstrings_become_paragraphs_and_nothing_else_does(packages: Path) -> None:
    found = corpus.paragraphs(5_000)
    assert found
    assert set(found) <= {PROSE.format(n) for n in range(100)}
    assert len(set(found)) == len(found)
    assert sum(map(len, found)) <= 5_000 + len(PROSE) + 2
    assert corpus.paragraphs(5_000) == found


def test_too_little_documentation_is_told(packages: Path) -> None:
    with pytest.raises(RuntimeError, match=r"1,000,000 wanted; .*\[trainer\]"):
        corpus.paragraphs(1_000_000)


def test_the_answers_of_exercises_are_right() -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    rng = random.Random(0)
    kinds = set()
    for _ in range(300):
        question, answer = (message["content"] for message in exercises.chat(rng, words))
        match question.split():
            case ["Repeat:", *rest]:
                kinds.add("copy")
                assert answer.split() == rest
            case ["What", "is", "the", "first", "word?", *rest]:
                kinds.add("first")
                assert answer == rest[0]
            case ["Is", asked, "in", "this", "list?", *rest]:
                kinds.add(answer)
                assert answer == ("yes" if asked in rest else "no")
    assert kinds == {"copy", "first", "yes", "no"}
