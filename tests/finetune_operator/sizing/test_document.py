"""docs/sizing.md on what a run needs beside its accelerator: what it says is what the code does."""

from pathlib import Path

import pytest

from finetune_operator.sizing import host
from finetune_operator.sizing.host import GIB, MIB

PAGE = " ".join((Path(__file__).parents[3] / "docs" / "sizing.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    "said",
    [
        f"What has to be there, times {host.SPARE}",
        f"| each process on a GPU | {host.PROCESS // GIB} GiB:",
        f"| the pod | {host.POD // GIB} GiB:",
        f"a shard of weights, {host.SHARD // 10**9} GB, or",
        f"{host.SHARED_MEMORY // MIB} MiB for each process beside the first",
        f"the model at {host.STORED} bytes a parameter, if it comes from the Hub; "
        f"{host.SMALL_FILES // GIB} GiB for tokens",
        f"{host.LAST_STEP_SECONDS} s for the step that is being made, and a checkpoint's bytes at "
        f"{host.DISK // 10**6} MB/s to the disk and at {host.DIGEST // 10**6} MB/s for its digest; an hour at most",
    ],
)
def test_what_it_says(said: str) -> None:
    assert said in PAGE


def test_what_it_says_in_words() -> None:
    assert host.LONGEST_GRACE_SECONDS == 3600
    assert host.DISK_USED == 0.9
    assert "and a tenth of it for the file system" in PAGE
