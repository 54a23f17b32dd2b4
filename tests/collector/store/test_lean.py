"""Lean views are never told from full ones, but by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.store import open_store
from collector.store.protocol import QueryLimits

if TYPE_CHECKING:
    from pathlib import Path

    from collector.store.protocol import Store

LIMITS = QueryLimits()


@pytest.fixture(scope="module")
def store(shop_file: Path) -> Store:
    """The shop's database."""
    return open_store(shop_file, read_only=True)


@pytest.mark.parametrize("view", ["spans", "otel_traces", "logs", "metrics"])
def test_count_reads_the_table_without_a_cross_product(store: Store, view: str) -> None:
    """A query that names no looked-up column is planned as on the plain table."""
    plan = store.query(f"EXPLAIN SELECT count(*) FROM {view}", LIMITS).to_pylist()[0]["explain_value"]
    assert "Cross Product" not in plan
    assert "CROSS_PRODUCT" not in plan


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM spans LIMIT 1",
        "FROM spans LIMIT 1",
        "SELECT s.* FROM spans AS s LIMIT 1",
        "SELECT unnest(spans) FROM spans LIMIT 1",
        "SELECT unnest(s) FROM spans s LIMIT 1",
        "SELECT COLUMNS('.*') FROM spans LIMIT 1",
        "SELECT service_version, resource_attributes, scope_name FROM spans LIMIT 1",
        'SELECT "SERVICE_VERSION" AS service_version, resource_attributes, scope_name FROM spans LIMIT 1',
        "WITH x AS (SELECT * FROM spans) SELECT service_version, resource_attributes, scope_name FROM x LIMIT 1",
    ],
)
def test_a_query_that_could_see_looked_up_columns_sees_them(store: Store, query: str) -> None:
    """Stars, whole rows and names bring the full view."""
    columns = store.query(query, LIMITS).column_names
    assert {"service_version", "resource_attributes", "scope_name"} <= set(columns)


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT h FROM spans AS t(a, b, c, d, e, f, g, h) LIMIT 1", "SELECT service_version AS h FROM spans LIMIT 1"),
        ("SELECT #8 FROM spans LIMIT 1", "SELECT service_version FROM spans LIMIT 1"),
        ("SELECT #44 FROM spans LIMIT 1", "SELECT scope_id FROM spans LIMIT 1"),
        (
            "SELECT main.spans AS r FROM spans ORDER BY span_id LIMIT 1",
            "SELECT spans AS r FROM spans ORDER BY span_id LIMIT 1",
        ),
    ],
)
def test_columns_named_by_position_are_those_of_the_full_view(store: Store, query: str, answer: str) -> None:
    """Counting or renaming columns by position, and whole rows by a qualified name, see the full view."""
    assert list(store.query(query, LIMITS).to_pylist()[0].values()) == list(
        store.query(answer, LIMITS).to_pylist()[0].values()
    )


@pytest.mark.parametrize("columns", ["*", "ResourceAttributes, ScopeName, scopeversion"])
def test_otel_traces_has_its_looked_up_columns_when_they_are_asked_for(store: Store, columns: str) -> None:
    """By name in any case, or by a star, which shows no ids of the store."""
    answer = store.query(f"SELECT {columns} FROM otel_traces LIMIT 1", LIMITS).column_names
    assert {"ResourceAttributes", "ScopeName", "ScopeVersion"} <= {*answer}
    assert not {"resource_id", "scope_id"} & {*answer}


def test_describe_shows_all_columns(store: Store) -> None:
    """A schema browser is told of every column."""
    names = store.query("DESCRIBE spans", LIMITS).column("column_name").to_pylist()
    assert {"service_version", "resource_attributes", "scope_version"} <= set(names)


def test_a_natural_join_compares_all_columns(store: Store) -> None:
    """Rows that differ in a looked-up column alone do not match."""
    other = "(SELECT span_id, 'no such version' AS service_version FROM spans) AS other"
    counted = store.query(f"SELECT count(*) AS n FROM spans NATURAL JOIN {other}", LIMITS)
    assert counted.to_pylist() == [{"n": 0}]
