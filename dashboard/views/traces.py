"""Traces: search, and one trace in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import client
from dashboard.charts.durations import duration_scatter
from dashboard.components.one_trace import draw_trace
from dashboard.state import window

if TYPE_CHECKING:
    import polars as pl

_FIELDS = {
    "service": "any span's service",
    "operation": "any span's name",
    "min_duration": "at least, e.g. 200ms",
    "max_duration": "at most, e.g. 2s",
    "attribute": "key=value of any span",
}
_COLUMNS: dict[str, Any] = {
    "start_time": st.column_config.DatetimeColumn("Time", format="HH:mm:ss.SSS"),
    "service": "Service",
    "operation": "Operation",
    "duration_ms": st.column_config.NumberColumn("Duration", format="%.1f ms"),
    "spans": "Spans",
    "services": "Services",
    "errors": "Errors",
    "trace_id": "Trace",
}


def draw() -> None:
    """Draw the page: the trace that the address or a click names on top, what else was found below."""
    top = st.container()
    found = client.traces(**window(), **_search())
    picked = None
    if found.is_empty():
        st.info("No trace matches. Widen the time or take a condition away.", icon=":material/search_off:")
    else:
        picked = _draw_found(found)
    trace_id = picked or st.query_params.get("trace")
    if trace_id:
        st.query_params["trace"] = trace_id
        with top:
            draw_trace(client.trace(trace_id))


def _search() -> dict[str, str]:
    columns = st.columns([2, 2, 1, 1, 2, 1], vertical_alignment="bottom")
    given = {
        name: column.text_input(name.replace("_", " ").capitalize(), key=name, bind="query-params", placeholder=hint)
        for column, (name, hint) in zip(columns, _FIELDS.items(), strict=False)
    }
    failed = columns[-1].toggle("Failed", key="failed", bind="query-params")
    return {name: value.strip() for name, value in given.items() if value} | ({"status": "error"} if failed else {})


def _draw_found(found: pl.DataFrame) -> str | None:
    """Draw what was found as dots and as a table; return the trace that was picked in either."""
    dots = st.altair_chart(duration_scatter(found), on_select="rerun", key="dots", selection_mode="pick")
    chosen = [row["trace_id"] for row in dots["selection"].get("pick", [])]
    table = st.dataframe(
        found.select(list(_COLUMNS)),
        column_config=_COLUMNS,
        hide_index=True,
        height=240,
        on_select="rerun",
        selection_mode="single-row",
        key="found",
    )
    st.caption(f"{found.height:,} traces, the newest first; pick a dot or a row.")
    rows = table["selection"]["rows"]
    return found["trace_id"][rows[0]] if rows else next(iter(chosen), None)
