"""Services and endpoints as tables; a row that is picked offers where to go from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.components.details import draw_what_ifs
from dashboard.components.plain import plain
from dashboard.state import link
from dashboard.tables import readable
from dashboard.theme import MOST_ROWS, RED
from dashboard.units import UNKNOWN, ms
from dashboard.views import page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dashboard.line_cells import Lines

    Row = Mapping[str, Any]

_NARROW, _NARROWEST = 66, 52
"""Pixels: all figures up to p99 are in sight on a screen of 1,440."""
_FAILED = st.column_config.NumberColumn("Failed", format="percent", width=_NARROW)
_LATENCIES = {f"{rank}_ms": st.column_config.NumberColumn(rank, width=_NARROW) for rank in ("p50", "p95", "p99")}
_FIGURES = {"error_rate": _FAILED, **_LATENCIES}


def _trend(what: str, **options: Any) -> Any:
    """A line over the time that is looked at."""
    told = f"{what}, from the first to the last minute that is looked at."
    return st.column_config.LineChartColumn("trend", y_min=0, width=_NARROWEST, help=told, **options)


_SERVICE: dict[str, Any] = {
    "name": st.column_config.TextColumn("Service", pinned=True, width=130),
    "critical_path_share": st.column_config.ProgressColumn("Of all latency", format="percent", max_value=1, width=92),
    "blast_radius": st.column_config.ProgressColumn("Needed by", format="percent", max_value=1, width=92),
    "calls": st.column_config.NumberColumn("Calls", format="localized", width=_NARROW),
    "calls_per_s_line": _trend("Calls a second"),
    "error_rate": _FAILED,
    "error_rate_line": _trend("The share that failed", color=RED),
    **{
        name: column
        for figure, latency in _LATENCIES.items()
        for name, column in ((figure, latency), (f"{figure}_line", _trend(figure.removesuffix("_ms"))))
    },
    "saturation": st.column_config.NumberColumn("Fullest resource", format="percent"),
}
_ENDPOINT: dict[str, Any] = {
    "endpoint": st.column_config.TextColumn("Endpoint", pinned=True, width=240),
    "traces": st.column_config.NumberColumn("Traces", format="localized"),
    **_FIGURES,
    "slowest": st.column_config.TextColumn("Mostly waits for", help="What adds most to its mean."),
}


def draw_services(services: Sequence[Row], lines: Mapping[str, Lines]) -> None:
    """Draw all but users, and for the picked one the ways to its traces and to what would happen without it.

    Without ``lines`` their columns are left out.
    """
    shown = [service for service in services if service["type"] != "user"]
    columns = {key: column for key, column in _SERVICE.items() if lines or not key.endswith("_line")}
    rows = [{key: service.get(key) for key in columns} | _line(lines.get(service["name"])) for service in shown]
    place = _draw_table(rows, columns, "services")
    if place is None:
        st.caption("Pick a service to see its traces, or what would happen if it failed.")
        return
    name, kind = shown[place]["name"], shown[place]["type"]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(name)}**", width="content")
        if kind == "service":
            st.page_link(page("traces"), label="Its traces", query_params=link(service=name))
        st.page_link(page("map"), label="On the map", query_params=link(focus=name))
        draw_what_ifs(name)


def _line(lines: Lines | None) -> dict[str, Any]:
    return {f"{figure}_line": points for figure, points in (lines or {}).items()}


def draw_endpoints(endpoints: Sequence[Row]) -> None:
    """Draw the endpoints, and for the picked one the ways to what makes it slow and to its traces."""
    rows = [
        {"endpoint": f"{one['service']} {one['operation']}", "slowest": _slowest(one)}
        | {key: one[key] for key in ("traces", *_FIGURES)}
        for one in endpoints
    ]
    place = _draw_table(rows, _ENDPOINT, "endpoints")
    if place is None:
        st.caption("Pick an endpoint to see what makes it slow.")
        return
    one, name = endpoints[place], str(rows[place]["endpoint"])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(name)}**", width="content")
        st.page_link(page("latency"), label="What makes it slow", query_params=link(endpoint=name))
        of_it = link(service=one["service"], operation=one["operation"])
        st.page_link(page("traces"), label="Its traces", query_params=of_it)


def _slowest(endpoint: Row) -> str:
    parts = [part for part in endpoint["contributions"] if part["critical_path_ms"]]
    if not parts:
        return ""
    most = max(parts, key=lambda part: part["critical_path_ms"])
    return f"{most['node']}, {ms(most['critical_path_ms'])}"


def _draw_table(rows: Sequence[Row], columns: Mapping[str, Any], key: str) -> int | None:
    """Return the place of the row that is picked."""
    if len(rows) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS:,} of {len(rows):,}, by the time that is spent in them.")
    table = st.dataframe(
        readable(rows[:MOST_ROWS], list(columns)),
        column_config=dict(columns),
        column_order=list(columns),
        hide_index=True,
        placeholder=UNKNOWN,
        height="content",
        key=key,
        on_select="rerun",
        selection_mode="single-row",
    )
    picked = table["selection"]["rows"]
    return picked[0] if picked and picked[0] < len(rows) else None
