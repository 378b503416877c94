"""What a binary is built from decides where it lies; and every pin has its hashes."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.cluster import binaries
from e2e.cluster.binaries import MODULES, Module, require_space
from e2e.cluster.failure import ClusterError


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "go.mod").write_text("module thing\n")
    monkeypatch.setattr(binaries, "MODULES", tmp_path)
    monkeypatch.setattr(binaries, "_go_version", lambda: "go1.24")
    return Module("thing", {"thing": "."})


def test_the_key_is_stable(module):
    assert binaries._key(module) == binaries._key(replace(module))


def test_the_key_changes_with_a_pin_with_a_flag_and_with_go(module, tmp_path, monkeypatch):
    keys = [binaries._key(module), binaries._key(replace(module, linker={"gitMinor": "34"}))]
    (tmp_path / "thing" / "go.mod").write_text("module thing\nrequire x v2\n")
    keys.append(binaries._key(module))
    monkeypatch.setattr(binaries, "_go_version", lambda: "go1.25")
    keys.append(binaries._key(module))
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("folder", sorted(MODULES.iterdir()), ids=lambda folder: folder.name)
def test_every_module_that_requires_something_has_its_hashes(folder: Path):
    requires = "require" in (folder / "go.mod").read_text()
    assert (folder / "go.sum").exists() == requires


def test_kubernetes_and_its_staging_repositories_are_of_one_release():
    text = (MODULES / "kubernetes" / "go.mod").read_text()
    minor_and_patch = binaries.KUBERNETES_VERSION.removeprefix("v1.")
    assert f"k8s.io/kubernetes {binaries.KUBERNETES_VERSION}" in text
    assert set(re.findall(r"=> k8s\.io/\S+ (\S+)", text)) == {f"v0.{minor_and_patch}"}


def test_every_module_folder_is_built_by_someone():
    assert {module.name for module in binaries.ALL} == {folder.name for folder in MODULES.iterdir()}


def test_a_full_disk_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(ClusterError, match="FINETUNE_CACHE"):
        require_space(tmp_path, 10**12, why="build kubectl")
