"""A running collector for the receivers' tests."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from collector.ingest import inserter
from tests.collector.receiver.running import Collector, run_collector

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector that all tests share; each looks only at traces of its own."""
    with pytest.MonkeyPatch.context() as patch, run_collector(tmp_path_factory.mktemp("collector")) as running:
        patch.setattr(inserter, "_LONGEST_WAIT_S", 0.02)  # rows appear at once, so that tests need not wait for them
        yield running


@pytest.fixture
def trace_id() -> bytes:
    """A trace id that no other test uses."""
    return next(_numbers).to_bytes(16, "big")
