"""What tests of more than one package share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.apiserver import ApiServer, running


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server that knows FineTuneJobs: one for all tests, so that each uses names of its own."""
    with running(tmp_path_factory.mktemp("apiserver")) as server:
        yield server
