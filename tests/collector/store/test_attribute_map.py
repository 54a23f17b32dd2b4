"""Attribute maps are the same, whichever of its two ways the store builds them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.store import attribute_map, open_store
from collector.store.attribute_map import shape_attributes
from collector.store.protocol import QueryLimits
from tests.collector.store.telemetry import Log, spans

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = list[tuple[str, str | None]]

KEYS = st.one_of(
    st.sampled_from(
        ["a", "A", "", "it's", 'say "x"', "n\0l", "line\nbreak", "-- no", "$received", "{}", "é😀", "s", "\u017f"]
    ),
    st.text(max_size=3),
)
ROWS = st.dictionaries(KEYS, st.none() | st.text(max_size=3), max_size=4).map(lambda row: list(row.items()))


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    """A database to evaluate expressions in."""
    return duckdb.connect()


def column(rows: Sequence[Row]) -> pa.Table:
    """The columns that ``shape_attributes`` reads."""
    keys = pa.array([json.dumps([key for key, _ in row], ensure_ascii=False) for row in rows], pa.string())
    values = pa.array([[value for _, value in row] for row in rows], pa.list_(pa.string()))
    return pa.table({"attribute_keys": keys.dictionary_encode(), "attribute_values": values})


def maps(connection: duckdb.DuckDBPyConnection, table: pa.Table) -> list[Row]:
    """What the store would insert."""
    shaped = shape_attributes(table)
    with connection.cursor() as cursor:
        cursor.register("i", shaped.table)
        answer = cursor.sql(f"SELECT {shaped.attributes} AS m FROM i").to_arrow_table()
    return list(answer.column("m").to_pylist())


@settings(deadline=None, max_examples=100)
@given(rows=st.lists(ROWS, min_size=1, max_size=6), threshold=st.integers(1, 4))
def test_frequent_and_rare_shapes_give_the_same_maps(
    connection: duckdb.DuckDBPyConnection, rows: list[Row], threshold: int
) -> None:
    """Whatever the keys, and whether a shape is over the threshold or under it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attribute_map, "_FREQUENT_ROWS", threshold)
        assert maps(connection, column(rows)) == rows


def test_tables_in_pieces_with_dictionaries_of_their_own(connection: duckdb.DuckDBPyConnection) -> None:
    """A shape's number in one piece is not its number in the next."""
    pieces: list[list[Row]] = [[[("a", "1")], [("b", "2")]], [[("b", "3")]], [], [[("c", None)], [("a", "4")], []]]
    table = pa.concat_tables([column(piece) for piece in pieces])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attribute_map, "_FREQUENT_ROWS", 1)
        assert maps(connection, table) == [row for piece in pieces for row in piece]


def test_only_frequent_shapes_with_distinct_names_become_structs() -> None:
    """Planning a branch for each rare shape would cost more than it saves."""
    rare: list[Row] = [[("rare", "1")]] * 255
    frequent: list[Row] = [[("frequent", "1")]] * 256
    other: list[Row] = [[("Case", "1"), ("case", "2")], [("", "1")], [(f"k{n}", "v") for n in range(129)]]
    expression = shape_attributes(column(rare + frequent + other * 256)).attributes
    assert expression.count("WHEN") == 1
    assert "'frequent': i.attribute_values[1]" in expression


def test_many_shapes_stay_one_statement() -> None:
    """At most 64 branches, the most frequent first."""
    rows: list[Row] = [[(f"k{shape}", "v")] for shape in range(100) for _ in range(256 + shape)]
    expression = shape_attributes(column(rows)).attributes
    assert expression.count("WHEN") == 64
    assert "'k99'" in expression
    assert "'k35'" not in expression


@pytest.mark.parametrize("key", ["line\nbreak", "n\0l", "o'clock", "-- ", "$received", "$attributes", "?", "%s", "\\"])
def test_frequent_odd_keys_reach_the_table(key: str) -> None:
    """The expression is put into a statement, which is longer than the expression."""
    store = open_store(":memory:")
    rows = [{"trace_id": (number + 1).to_bytes(16), "attributes": {key: "v"}} for number in range(300)]
    store.append(spans(*rows), Log().next())
    found = store.query("SELECT DISTINCT attributes FROM spans", QueryLimits()).to_pylist()
    store.close()
    assert found == [{"attributes": [(key, "v")]}]
