"""Lines in cells have a value for each part of the time."""

from __future__ import annotations

import polars as pl

from dashboard.client import LINE_PARTS
from dashboard.line_cells import lines_by_service

SCHEMA = {"service": pl.String, "part": pl.Int32, "requests": pl.Int64, "p99_ms": pl.Float64}


def test_where_nothing_came_the_last_p99_stays() -> None:
    """Requests are none then; what ends the time belongs to its last part."""
    rows = [("a", 2, 5, 10.0), ("a", LINE_PARTS, 1, 30.0), ("b", 0, 1, 7.0)]
    found = lines_by_service(pl.DataFrame(rows, schema=SCHEMA, orient="row"))
    assert found["a"].requests == [0, 0, 5, *[0] * (LINE_PARTS - 4), 1]
    assert found["a"].p99_ms == [10.0] * (LINE_PARTS - 1) + [30.0]
    assert found["b"].p99_ms == [7.0] * LINE_PARTS


def test_no_requests_no_lines() -> None:
    """Nor an error."""
    assert lines_by_service(pl.DataFrame(schema=SCHEMA)) == {}
