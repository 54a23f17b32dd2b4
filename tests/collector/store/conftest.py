"""Stores that tests run on: each test on every implementation."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest

from collector.store import open_lake
from tests.collector.store.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.store.protocol import Store

NEEDS_LAKE = pytest.mark.skipif(
    "LITHOSCOPE_TEST_LAKE" not in os.environ,
    reason="a lake needs DuckDB 1.5 with its extensions and PostgreSQL: `make test-lake` runs this",
)
"""Its value is how PostgreSQL is reached, such as ``host=127.0.0.1 user=postgres``."""


@pytest.fixture(
    params=["file", ":memory:", pytest.param("lake", marks=NEEDS_LAKE), pytest.param("postgres", marks=NEEDS_LAKE)]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A new store."""
    if request.param in ("lake", "postgres"):
        catalog = str(tmp_path / "catalog.ducklake") if request.param == "lake" else new_catalog()

        def opening(path: str) -> Store:
            return open_lake(f"ducklake:{catalog}", path, "one")

        place = Place(str(tmp_path / "data"), opening)
    else:
        place = Place(":memory:" if request.param == ":memory:" else str(tmp_path / "t.duckdb"))
    yield place
    place.store.close()


def new_catalog() -> str:
    """A new database in the PostgreSQL of the test run, for a catalog."""
    import psycopg  # noqa: PLC0415  (only where there is one)

    server, name = os.environ["LITHOSCOPE_TEST_LAKE"], f"lake_{uuid.uuid4().hex}"
    with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgres:{server} dbname={name}"
