"""A waterfall shows the spans that tell most, what happened in them and what they are linked to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from dashboard.charts.waterfall import MOST_BARS
from dashboard.span_rows import events_of, links_by_span, other_traces, span_rows

MAP = pl.Map(pl.String, pl.String)
EVENT = pl.Struct({"time": pl.Datetime("ns"), "name": pl.String, "attributes": MAP})
LINK = pl.Struct({"trace_id": pl.String, "span_id": pl.String})
SCHEMA: dict[str, Any] = {"span_id": pl.String, "events": pl.List(EVENT), "links": pl.List(LINK)}


def span(span_id: str, parent: str | None, start: int, duration: int = 10, status: str = "ok") -> dict[str, Any]:
    """A span of a ``trace`` object."""
    times = {"start_unix_nano": start, "duration_ns": duration}
    return {"span_id": span_id, "parent_span_id": parent, "status": status, **times}


def test_what_is_below_a_span() -> None:
    """That span and all under it, with depths from it; an unknown one changes nothing."""
    trace = {"spans": [span("a", None, 0), span("b", "a", 1), span("c", "b", 2), span("d", "a", 3)]}
    links = {"c": [{"trace_id": "t"}]}
    rows, number = span_rows(trace, links, "b")
    assert [(row["span_id"], row["depth"], list(row["links"])) for row in rows] == [
        ("b", 0, []),
        ("c", 1, [{"trace_id": "t"}]),
    ]
    assert number == 2
    assert [row["span_id"] for row in span_rows(trace, {}, "gone")[0]] == ["a", "b", "c", "d"]


def test_of_ten_thousand_spans_those_are_shown_that_tell_most() -> None:
    """The failed ones and the longest, in the order of the trace."""
    spans = [span("root", None, 0, 10**9)] + [span(f"{n}", "root", n, n) for n in range(1, 10_000)]
    spans[17]["status"] = "error"
    rows, number = span_rows({"spans": spans}, {})
    assert number == 10_000
    assert len(rows) == MOST_BARS
    assert [row["span_id"] for row in rows[:3]] == ["root", "17", str(10_000 - MOST_BARS + 2)]


def test_events_and_links() -> None:
    """An exception says what it was; links to the trace itself lead nowhere else."""
    at = datetime(2026, 11, 23, 12, 0, 0)  # noqa: DTZ001  (the views' times have no zone)
    exception = {"exception.type": "shop.RefusedError", "exception.message": "no money"}
    rows = [
        {
            "span_id": "a",
            "events": [
                {"time": at, "name": "exception", "attributes": exception},
                {"time": at, "name": "cache miss", "attributes": {}},
            ],
            "links": [],
        },
        {"span_id": "b", "events": [], "links": [{"trace_id": name, "span_id": "x"} for name in ("t2", "t1", "t2")]},
    ]
    moments = pl.DataFrame(rows, schema=SCHEMA)
    nano = 1_795_435_200_000_000_000
    assert events_of(moments) == [
        {"span_id": "a", "time_unix_nano": nano, "name": "RefusedError: no money", "failed": True},
        {"span_id": "a", "time_unix_nano": nano, "name": "cache miss", "failed": False},
    ]
    links = links_by_span(moments)
    assert list(links) == ["b"]
    assert other_traces(links, "t1") == ["t2"]


def test_a_trace_in_which_nothing_happened() -> None:
    """Has no events and no links."""
    empty = pl.DataFrame(schema=SCHEMA)
    assert (events_of(empty), links_by_span(empty)) == ([], {})
