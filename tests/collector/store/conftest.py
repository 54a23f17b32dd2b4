"""Stores that tests run on: each test on every implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.collector.store.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["file", ":memory:"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A new store."""
    place = Place(":memory:" if request.param == ":memory:" else str(tmp_path / "t.duckdb"))
    yield place
    place.store.close()
