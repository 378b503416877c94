"""A process is found again by a later command, and a reused pid is never taken for it."""

import json
import os
from pathlib import Path

import pytest

from e2e.cluster.failure import ClusterError
from e2e.cluster.process import Process, children, stat, wait_until


@pytest.fixture
def sleeper(tmp_path: Path):
    process = Process(tmp_path, "sleeper")
    process.start(["sleep", "100"], cwd=tmp_path)
    assert wait_until(lambda: process.pid() is not None, seconds=5)
    yield process
    process.stop()


def test_another_object_finds_it_by_its_file(sleeper, tmp_path):
    assert Process(tmp_path, "sleeper").pid() == sleeper.pid()


def test_starting_twice_starts_once(sleeper, tmp_path):
    before = sleeper.pid()
    sleeper.start(["sleep", "100"], cwd=tmp_path)
    assert sleeper.pid() == before


def test_stop_ends_it_and_removes_the_file(sleeper):
    pid = sleeper.pid()
    sleeper.stop()
    assert sleeper.pid() is None
    assert not sleeper.pidfile.exists()
    seen = stat(pid)
    assert seen is None or seen.zombie


def test_a_pid_that_was_reused_is_not_ours(tmp_path):
    process = Process(tmp_path, "gone")
    process.pidfile.write_text(json.dumps({"pid": os.getpid(), "started": 1}))
    assert process.pid() is None
    process.stop()  # or this test would end itself here


def test_a_half_written_file_is_no_process(tmp_path):
    process = Process(tmp_path, "half")
    process.pidfile.write_text('{"pid": 1')
    assert process.pid() is None


def test_one_that_ended_is_told_with_the_end_of_its_log(tmp_path):
    process = Process(tmp_path, "fails")
    process.start(["sh", "-c", "echo the port is taken; exit 1"], cwd=tmp_path)
    assert wait_until(lambda: process.pidfile.exists() and process.pid() is None, seconds=5)
    with pytest.raises(ClusterError, match="the port is taken"):
        process.require_alive()


def test_one_that_ignores_sigterm_is_killed(tmp_path):
    process = Process(tmp_path, "stubborn")
    process.start(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], cwd=tmp_path)
    assert wait_until(lambda: process.pid() is not None, seconds=5)
    process.stop(grace=0.5)
    assert process.pid() is None


def test_children_are_found(tmp_path):
    process = Process(tmp_path, "parent")
    process.start(["sh", "-c", "sleep 100 & wait"], cwd=tmp_path)
    assert wait_until(lambda: (pid := process.pid()) is not None and len(children(pid)) == 1, seconds=5)
    child = children(process.pid())[0]
    process.stop(grace=2)
    assert wait_until(lambda: (seen := stat(child)) is None or seen.zombie, seconds=5)
