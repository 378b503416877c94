from __future__ import annotations

import os
from pathlib import Path

import pytest

from finetune_api import manifest
from finetune_operator.local.run_error import RunError
from finetune_operator.local.workdir import opened


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path / "work"):
        busy = pytest.raises(RunError, match=f"in use by another run \\(process {os.getpid()}")
        with busy as error, opened(tmp_path / "work"):
            pass
        assert error.value.code == 75
    with opened(tmp_path / "work"):
        pass


def test_a_folder_belongs_to_one_job(job_file: Path) -> None:
    text = job_file.read_text()
    with opened(job_file.parent / "work") as work:
        first = work.claim(manifest.parse(text, file="a"))
        assert first.metadata.uid
        assert work.claim(manifest.parse(text, file="a")).metadata.uid == first.metadata.uid
        # how often to try, and on what, says nothing of what is made
        other = text.replace("maxAttempts: 3", "maxAttempts: 9").replace("accelerator: cpu", "accelerator: L4")
        assert work.claim(manifest.parse(other, file="a")).metadata.uid == first.metadata.uid
        for old, new, field in (
            ("name: tickets", "name: others", "name"),
            ("effectiveBatchSize: 16", "effectiveBatchSize: 8", r"spec\.training\.effectiveBatchSize"),
            ("method: lora", "method: qlora", r"spec\.method"),
            ("method: lora", "method: lora\n  adapter: {rank: 4}", r"spec\.adapter\.rank"),
        ):
            with pytest.raises(RunError, match=f"another job: {field} differs"):
                work.claim(manifest.parse(text.replace(old, new), file="a"))


def test_a_folder_of_something_else_is_left_alone(job_file: Path) -> None:
    with opened(job_file.parent) as work, pytest.raises(RunError, match="is not empty and holds no run"):
        work.claim(manifest.parse(job_file.read_text(), file="a"))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be used as work folder"), opened(tmp_path / "file" / "work"):
        pass
