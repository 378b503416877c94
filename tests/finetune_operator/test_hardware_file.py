"""The hardware table's file: read again when it changes, and never believed when it is wrong."""

from __future__ import annotations

import asyncio
import logging
from datetime import date
from pathlib import Path

import pytest

from finetune_operator import hardware_file
from finetune_operator.hardware_file import HardwareFile, not_begun
from finetune_operator.kinds import FINE_TUNE_JOB
from finetune_operator.metrics import Metrics
from finetune_operator.reconcile.plan import Key
from finetune_operator.sizing.hardware import builtin
from finetune_operator.sizing.hardware.read import HardwareError
from finetune_operator.store import Store
from tests.finetune_operator.reconcile.objects import finetune_job


def today() -> date:
    return date(2026, 6, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ConfigMap's volume, as the kubelet makes it: the file is a link through a link to a folder."""
    publish(tmp_path, "- {name: T4, perNode: 2}")
    (tmp_path / "hardware.yaml").symlink_to("..data/hardware.yaml")
    return tmp_path / "hardware.yaml"


def publish(volume: Path, text: str) -> None:
    """Change the content as the kubelet does: a new folder, and the link to it replaced."""
    folder = volume / f"..{len(list(volume.iterdir()))}"
    folder.mkdir()
    (folder / "hardware.yaml").write_text(text)
    (volume / "..new").symlink_to(folder.name)
    (volume / "..new").rename(volume / "..data")


def test_it_is_read_at_the_start(path: Path) -> None:
    assert HardwareFile(path, today=today).table.row("T4").per_node == 2


def test_a_wrong_one_is_no_start(path: Path) -> None:
    publish(path.parent, "- {name: T4, perNode: 0}")
    with pytest.raises(HardwareError, match=r"hardware\.yaml:1: row T4: perNode"):
        HardwareFile(path, today=today)


def test_a_change_is_seen_once(path: Path) -> None:
    file = HardwareFile(path, today=today)
    assert not file.look()
    publish(path.parent, "- {name: T4, perNode: 3}")
    assert file.look()
    assert file.table.row("T4").per_node == 3
    assert not file.look()
    publish(path.parent, "- {name: T4, perNode: 3} # the same in other words")
    assert not file.look()


def test_a_wrong_change_is_refused_and_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = HardwareFile(path, today=today)
    publish(path.parent, "- {name: T4, price: {onDemand: -1, date: 2026-01-01}}")
    assert not file.look()
    assert not file.look()
    assert file.table.row("T4").per_node == 2
    assert file.refused is not None
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "row T4: price.onDemand" in record.message
    (path.parent / "..data").unlink()  # and one that cannot be read is another matter
    assert not file.look()
    assert "cannot be read" in caplog.records[-1].message


def test_the_old_one_come_back_is_well_and_no_change(path: Path) -> None:
    file = HardwareFile(path, today=today)
    publish(path.parent, "nonsense")
    file.look()
    publish(path.parent, "- {name: T4, perNode: 2}")
    assert not file.look()
    assert file.refused is None


class Looks:
    """The queue, as far as it is told of keys."""

    def __init__(self) -> None:
        self.keys: list[Key] = []

    def add(self, key: Key) -> None:
        self.keys.append(key)


def test_jobs_that_have_not_begun_are_looked_at_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware_file, "LOOK_SECONDS", 0.01)
    store, looks, metrics = Store(), Looks(), Metrics()
    for name, status in (
        ("waits", {"phase": "Pending"}),
        ("new", None),
        ("runs", {"phase": "Training", "attempts": [{"number": 1}]}),
        ("failed", {"phase": "Failed"}),
    ):
        job = finetune_job(name=name, uid=name)
        metadata = {**job["metadata"], "resourceVersion": "1"}
        store.put(FINE_TUNE_JOB, {**job, "metadata": metadata, "status": status})
    file = HardwareFile(path, today=today)
    store.hardware = file.table

    async def change() -> None:
        follow = asyncio.create_task(file.follow(store, looks, metrics))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert looks.keys == []
        publish(path.parent, "nonsense")
        await asyncio.sleep(0.05)
        assert metrics.registry.get_sample_value("finetune_operator_hardware_refused") == 1
        publish(path.parent, "- {name: T4, perNode: 3}")
        await asyncio.sleep(0.05)
        follow.cancel()

    asyncio.run(change())
    assert metrics.registry.get_sample_value("finetune_operator_hardware_refused") == 0
    assert store.hardware.row("T4").per_node == 3 != builtin().row("T4").per_node
    assert sorted(key.name for key in looks.keys) == ["new", "waits"]
    assert sorted(looks.keys) == sorted(not_begun(store))
    seen = store.observe(looks.keys[0])
    assert seen is not None
    assert seen.hardware is store.hardware
