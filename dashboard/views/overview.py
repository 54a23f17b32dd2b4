"""The overview: how coupled the system is, what is worst, and how each service does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import client
from dashboard.charts.index import index_parts
from dashboard.components.finding_cards import draw_findings
from dashboard.state import window
from dashboard.units import UNKNOWN, count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_FINDINGS = 5
_MS = "%.1f ms"
_FIGURES = {
    "traces": st.column_config.NumberColumn("Traces", format="localized"),
    "error_rate": st.column_config.NumberColumn("Failed", format="percent"),
    "p50_ms": st.column_config.NumberColumn("p50", format=_MS),
    "p95_ms": st.column_config.NumberColumn("p95", format=_MS),
    "p99_ms": st.column_config.NumberColumn("p99", format=_MS),
}
_SERVICE = {
    "name": st.column_config.TextColumn("Service", pinned=True),
    "critical_path_share": st.column_config.ProgressColumn("Of all latency", format="percent", max_value=1),
    "blast_radius": st.column_config.ProgressColumn("Needed by", format="percent", max_value=1),
    "calls": st.column_config.NumberColumn("Calls", format="localized"),
    **{name: _FIGURES[name] for name in ("error_rate", "p50_ms", "p99_ms")},
    "saturation": st.column_config.NumberColumn("Fullest resource", format="percent"),
}


def draw() -> None:
    """Draw the page."""
    report = client.report(**window())
    _draw_index(report["coupling_index"], report["window"])
    services, findings = st.columns([3, 2], gap="large")
    with services:
        st.subheader("Services", anchor=False)
        _draw_services(report["services"])
        st.subheader("Endpoints", anchor=False)
        _draw_endpoints(report["endpoints"])
    with findings:
        st.subheader("Findings", anchor=False)
        draw_findings(report["findings"], _MOST_FINDINGS, (report["coupling_index"] or {}).get("lowers", ()))


def _draw_index(index: Mapping[str, Any] | None, about: Mapping[str, Any]) -> None:
    score, parts, seen = st.columns([1, 3, 1], vertical_alignment="center")
    if index is None:
        score.metric("Coupling index", UNKNOWN, help="Too few traces to tell.")
    else:
        score.metric("Coupling index", f"{index['score']:.0f}", help="0: free. 100: one monolith.")
        score.caption(index["grade"])
        parts.altair_chart(index_parts(index["components"]))
    seen.metric("Traces", count(about["traces"]))
    seen.caption(f"{count(about['spans'])} spans" + (", a sample" if about["sampled"] else ""))


def _draw_services(services: Sequence[Mapping[str, Any]]) -> None:
    rows = [{key: service[key] for key in _SERVICE} for service in services if service["type"] != "user"]
    st.dataframe(rows, column_config=_SERVICE, hide_index=True, height="content", key="services")


def _draw_endpoints(endpoints: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        {"endpoint": f"{one['service']} {one['operation']}"} | {key: one[key] for key in _FIGURES} for one in endpoints
    ]
    columns = {"endpoint": st.column_config.TextColumn("Endpoint", pinned=True)} | _FIGURES
    st.dataframe(rows, column_config=columns, hide_index=True, height="content", key="endpoints")
