"""Lines in cells have a value for each part of the time."""

from __future__ import annotations

from typing import Any

from dashboard.line_cells import FIGURES, POINTS, lines_by_service

MINUTE = 60 * 10**9


def answer(minutes: int, *rows: tuple[str, int, float, float | None]) -> dict[str, Any]:
    """What ``/v1/series`` says of so many minutes, from rows of name, minute, requests a second and p99."""
    told = [
        {"name": name, "start_unix_nano": minute * MINUTE, "calls_per_s": rate, "error_rate": 0.5}
        | {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": p99}
        for name, minute, rate, p99 in rows
    ]
    return {"from": 0, "to": minutes * MINUTE, "bucket_seconds": 60, "rows": told}


def test_where_nothing_came_the_last_latency_stays() -> None:
    """Requests and errors are none then; before the first call it is the first latency that is known."""
    found = lines_by_service(
        answer(5, ("a", 1, 5.0, 10.0), ("a", 3, 1.0, None), ("a", 4, 1.0, 30.0), ("b", 0, 1.0, None))
    )
    assert found["a"] == {
        "calls_per_s": [0.0, 5.0, 0.0, 1.0, 1.0],
        "error_rate": [0.0, 0.5, 0.0, 0.5, 0.5],
        "p50_ms": [1.0] * 5,
        "p95_ms": [2.0] * 5,
        "p99_ms": [10.0, 10.0, 10.0, 10.0, 30.0],
    }
    assert found["b"]["p99_ms"] == [0.0] * 5
    assert list(found["a"]) == list(FIGURES)


def test_neighbours_are_joined_when_there_are_too_many() -> None:
    """A rate to its mean, a latency to its peak."""
    found = lines_by_service(answer(3 * POINTS, ("a", 0, 9.0, 10.0), ("a", 1, 0.0, 80.0), ("a", 2, 0.0, 5.0)))["a"]
    assert found["calls_per_s"] == [3.0] + [0.0] * (POINTS - 1)
    assert found["p99_ms"] == [80.0] + [5.0] * (POINTS - 1)


def test_no_requests_no_lines() -> None:
    """Nor an error."""
    assert lines_by_service(answer(0)) == {}
