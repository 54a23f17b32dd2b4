"""Traces: search, and one trace in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analytics.words import counted
from dashboard import client
from dashboard.charts.durations import duration_scatter
from dashboard.components.one_trace import draw_traces
from dashboard.state import window
from dashboard.tables import readable

if TYPE_CHECKING:
    import polars as pl

_AT_ONCE = 2
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
    "duration_ms": st.column_config.NumberColumn("Duration"),
    "spans": "Spans",
    "services": "Services",
    "errors": "Errors",
    "trace_id": "Trace",
}


def draw() -> None:
    """Draw the page: the traces that the address or a click names on top, what else was found below."""
    top = st.container()
    found = client.traces(**window(), **_search())
    picked: list[str] = []
    if found.is_empty():
        st.info("No trace matches. Widen the time or take a condition away.", icon=":material/search_off:")
    else:
        picked = _draw_found(found)
    with top:
        _draw_named((picked or st.query_params.get_all("trace"))[:_AT_ONCE])


def _draw_named(named: list[str]) -> None:
    """Draw those that are picked, of a finding's those that are chosen among them."""
    among = [] if named != st.query_params.get_all("trace") else st.query_params.get_all("among")
    if named != st.query_params.get_all("trace"):
        for parameter in ("among", "below"):
            st.query_params.pop(parameter, None)
    if among:
        numbers = {trace_id: str(number) for number, trace_id in enumerate(among, start=1)}
        chosen = st.pills(
            "Traces of the finding; choose two to see them side by side",
            among,
            default=named,
            format_func=lambda trace_id: numbers[trace_id],
            selection_mode="multi",
            key=f"among-{among[0]}",
        )
        named = (chosen or named)[:_AT_ONCE]
    if named:
        st.query_params["trace"] = named
        draw_traces(named)


def _search() -> dict[str, str]:
    columns = st.columns([2, 2, 1, 1, 2, 1], vertical_alignment="bottom")
    given = {
        name: column.text_input(name.replace("_", " ").capitalize(), key=name, bind="query-params", placeholder=hint)
        for column, (name, hint) in zip(columns, _FIELDS.items(), strict=False)
    }
    failed = columns[-1].toggle("Failed", key="failed", bind="query-params")
    return {name: value.strip() for name, value in given.items() if value} | ({"status": "error"} if failed else {})


def _draw_found(found: pl.DataFrame) -> list[str]:
    """Draw what was found as dots and as a table; return the traces that were picked in either."""
    dots = st.altair_chart(duration_scatter(found), on_select="rerun", key="dots", selection_mode="pick")
    chosen = [row["trace_id"] for row in dots["selection"].get("pick", [])]
    table = st.dataframe(
        readable(found.to_dicts(), list(_COLUMNS)),
        column_config=_COLUMNS,
        hide_index=True,
        height=240,
        on_select="rerun",
        selection_mode="multi-row",
        key="found",
    )
    number = counted(found.height, "trace")
    st.caption(f"{number}, the newest first; pick a dot or a row, or two rows to see them side by side.")
    rows = table["selection"]["rows"]
    return [found["trace_id"][row] for row in rows if row < found.height] or chosen
