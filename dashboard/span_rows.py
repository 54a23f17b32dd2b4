"""The rows of a trace's waterfall: which spans, how deep, and what happened in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from collector.cli.waterfall import kept_rows, tree_rows
from dashboard.charts.waterfall import MOST_BARS
from dashboard.theme import MOST_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EXCEPTION = "exception"


def span_rows(
    trace: Mapping[str, Any], links: Mapping[str, Any], below: str | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Return the spans to draw, with ``depth`` and their ``links``, and how many there are.

    With a span's id as ``below``, that span and all under it; of too many, those in error and the longest.
    """
    rows = tree_rows(trace["spans"])
    top = next((place for place, row in enumerate(rows) if row.span["span_id"] == below), None)
    least = 0
    if top is not None:
        least = rows[top].depth
        end = next((place for place in range(top + 1, len(rows)) if rows[place].depth <= least), len(rows))
        rows = rows[top:end]
    drawn = [
        row.span | {"depth": row.depth - least, "links": links.get(row.span["span_id"], ())}
        for row in kept_rows(rows, MOST_BARS)
    ]
    return drawn, len(rows)


def links_by_span(moments: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the links of spans by their id; ``moments`` are the client's."""
    linked = moments.filter(pl.col("links").list.len() > 0)
    return dict(linked.select("span_id", "links").iter_rows())


def events_of(moments: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the events of a trace: ``span_id``, ``time_unix_nano``, ``name`` and whether something ``failed``."""
    rows = moments.select("span_id", "events").explode("events").drop_nulls("events").head(MOST_ROWS).unnest("events")
    if rows.is_empty():
        return []
    times = rows["time"].dt.epoch("ns").to_list()
    return [
        {"span_id": span_id, "time_unix_nano": time, "name": _told(name, attributes), "failed": name == _EXCEPTION}
        for (span_id, name, attributes), time in zip(
            rows.select("span_id", "name", "attributes").iter_rows(), times, strict=True
        )
        if time is not None
    ]


def _told(name: str, attributes: Mapping[str, str] | None) -> str:
    told = attributes or {}
    kind, message = told.get("exception.type", "").rpartition(".")[2], told.get("exception.message", "")
    return ": ".join(part for part in (kind or name, message) if part)


def other_traces(links: Mapping[str, Sequence[Mapping[str, Any]]], trace_id: str) -> list[str]:
    """Return the other traces that spans link to, each once."""
    found = [link["trace_id"] for of_span in links.values() for link in of_span]
    return [other for other in dict.fromkeys(found) if other != trace_id]
