"""`python3 -m e2e.images build --registry ...`: where the images go, and what is printed."""

from __future__ import annotations

import pytest

from e2e.cluster import packages
from e2e.images import __main__ as command
from e2e.images.build import IMAGES, Image

ELSEWHERE = "registry.example.com/finetune"


@pytest.fixture(autouse=True)
def no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed, built or pushed."""

    def pushed(_: object, images: tuple[Image, ...], registry: str) -> dict[str, str]:
        return {image.name: f"{registry}/{image.name}@sha256:{'0' * 64}" for image in images}

    monkeypatch.setattr(packages, "require_root", lambda _: None)
    monkeypatch.setattr(packages, "install", lambda _: None)
    monkeypatch.setattr(command, "build_and_push", pushed)
    monkeypatch.delenv("REGISTRY", raising=False)
    monkeypatch.delenv("CLUSTER", raising=False)


def test_the_digests_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["build", "--registry", f"{ELSEWHERE}/"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [image.name for image in IMAGES]
    assert lines[0].split()[1] == f"{ELSEWHERE}/operator@sha256:{'0' * 64}"


def test_the_variable_does_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("REGISTRY", ELSEWHERE)
    assert command.main(["build", "--only", "trainer"]) == 0
    assert capsys.readouterr().out.startswith(f"trainer {ELSEWHERE}/trainer@")


def test_another_cluster_needs_a_registry(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CLUSTER", "current")
    assert command.main(["build"]) == 1
    assert "REGISTRY=HOST/PREFIX" in capsys.readouterr().err
